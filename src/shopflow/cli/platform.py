"""`shopflow up`, `down`, `status`, `logs`: the whole platform on one machine. Prints and sets exit statuses; everything
else is done in `local`, imported only when a command runs so that `--help` answers at once."""

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    import asyncio

    from shopflow.local.home import Home
    from shopflow.local.inspection import Part

T = TypeVar("T")


def up() -> None:
    """Bring the whole platform up on this machine and keep it running until Ctrl-C, SIGTERM or `shopflow down`.

    PostgreSQL, RabbitMQ, the sandbox for e-mail and SMS, and the three services, kept in `$SHOPFLOW_HOME` (default:
    `.shopflow` in the working folder). SHOPFLOW_PORT_BASE=4000 moves the ports 3000-3010 to 4000-4010.
    DATABASE_URL_AUTH, DATABASE_URL_ORDERS, DATABASE_URL_NOTIFICATIONS and RABBITMQ_URL replace our own servers; both
    AWS_SES_* variables make e-mail real, all three TWILIO_* make SMS real.

    Exit status: 0 after a stop that was asked for, 1 when the platform cannot come up or cannot go on.
    """
    from shopflow.local import given
    from shopflow.local.platform import Platform

    async def run() -> None:
        platform = Platform(given.read(os.environ, working_folder=Path.cwd()), say=_say)
        stop, kill = _stop_signals()
        await platform.run(stop, kill=kill)

    _run(run)


def down() -> None:
    """Stop the platform that runs in `$SHOPFLOW_HOME`, and wait until it has stopped. What was stored is kept.

    Exit status: 0 when nothing runs any more, 1 when it does not stop.
    """
    from shopflow.local import inspection

    stopped = _run(lambda: inspection.stop(_home()))
    _say("stopped" if stopped else "nothing was running")


def status(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show what runs and whether it is ready.

    Exit status: 0 when everything is ready, 1 when something is not, 3 when nothing runs.

    Parameters
    ----------
    json
        A list of objects with name, pid, address and state instead of a table.

    """
    from shopflow.local import inspection

    home = _home()
    found = _run(lambda: inspection.parts(home))
    if json:
        _print_json(found)
    elif found:
        _say("\n".join(f"{part.name:<14} {part.state:<10} {part.pid or '-':>8}  {part.address}" for part in found))
    else:
        _say(f"nothing runs in {home.folder}")
    if not found:
        raise SystemExit(3)
    raise SystemExit(0 if home.up() and all(part.state in {"ready", "running"} for part in found) else 1)


def logs(
    name: str | None = None,
    /,
    *,
    lines: Annotated[int, Parameter(alias="-n")] = 50,
    follow: Annotated[bool, Parameter(alias="-f", negative="")] = False,
) -> None:
    """Show the last lines of the log of one process, or of all.

    Exit status: 0, or 1 when there is no such log.

    Parameters
    ----------
    name
        auth, orders, notifications, mailbox, postgres, rabbitmq and others; without it all of them.
    lines
        How many lines of each.
    follow
        Go on showing what is written, until Ctrl-C.

    """
    from shopflow.local import inspection

    async def show() -> None:
        files = inspection.logs(_home(), name)
        for source, line in inspection.ends(files, lines=lines):
            _say(line if name else f"{source:<14} {line}")
        if follow:
            async for source, line in inspection.follow(files):
                _say(line if name else f"{source:<14} {line}")

    _run(show)


def _home() -> "Home":
    from shopflow.local import given
    from shopflow.local.home import Home

    return Home(given.home(os.environ, working_folder=Path.cwd()))


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end; a failure becomes one line on stderr, what is known about it below, and status 1."""
    import asyncio

    from shopflow.local.failures import LocalFailure

    try:
        return asyncio.run(work())
    except LocalFailure as failure:
        detail = f"\n{failure.detail.rstrip()}" if failure.detail else ""
        sys.stderr.write(f"shopflow: {failure}{detail}\n")
        raise SystemExit(1) from failure
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _stop_signals() -> tuple["asyncio.Event", "asyncio.Event"]:
    """Events set by the first signal that asks us to stop, and by a second one."""
    import asyncio
    import signal

    stop, kill = asyncio.Event(), asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            kill.set()
        else:
            _say("stopping; once more to stop at once")
        stop.set()

    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)  # `nohup` wants it to go on
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, ask)
    return stop, kill


def _say(text: str) -> None:
    """Print at once. A reader that went away (`up | head`) is no reason to stop a platform."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_json(found: "list[Part]") -> None:
    import dataclasses
    import json

    _say(json.dumps([dataclasses.asdict(part) for part in found], indent=1))
