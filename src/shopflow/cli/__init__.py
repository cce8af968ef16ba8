"""The command line: one file a group of commands, each imported only when one of its commands runs."""

import sys


def main() -> None:
    """Runs the command that the arguments name; `shopflow --help` lists them all."""
    from shopflow.cli.commands import app  # noqa: PLC0415 - keeps importing this package free of cost

    arguments = sys.argv[1:]
    app(arguments)(arguments)
