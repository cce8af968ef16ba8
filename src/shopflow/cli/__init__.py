"""The command line: one file a group of commands, each imported only when one of its commands runs."""

import os
import sys


def main() -> None:
    """Runs the command that the arguments name; `shopflow --help` lists them all."""
    from shopflow.cli.commands import app

    arguments = sys.argv[1:]
    try:
        app(arguments)(arguments)
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
