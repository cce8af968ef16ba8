"""The main process of a PostgreSQL server as its data folder names it, and the end of one that nobody holds."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from shopflow.local.processes import command_of, identify, kill_session, working_in

STOP_SECONDS = 15.0
ORPHAN_SECONDS = 2.0
POLL_SECONDS = 0.02
STATUS_LINE = 7  # of postmaster.pid: "ready" once connections are accepted


async def clear_leftovers(data: Path) -> None:
    """Stop a server that outlived its supervisor, and drop its pid file.

    PostgreSQL itself refuses to start while *any* process of the same account has the pid in that file: after a
    crash in a container that may well be the broker.
    """
    pid_file = data / "postmaster.pid"
    pid = pid_in(pid_file)
    if pid is not None and _serves(pid, data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        await _ended(pid)
        kill_session(pid)
    await _clear_orphans(data)
    pid_file.unlink(missing_ok=True)


def pid_in(pid_file: Path) -> int | None:
    """The process that the file names; None while it names none."""
    first = _line(pid_file, 0)
    return int(first) if first.isdecimal() else None


def status_in(pid_file: Path) -> str:
    """What the server says of itself, such as `ready`; empty while it says nothing."""
    return _line(pid_file, STATUS_LINE)


async def _clear_orphans(data: Path) -> None:
    """Wait for the backends of a server that was killed: they hold its shared memory, and are in sessions of their
    own. They end by themselves when they next look up; one deep in a query may not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ORPHAN_SECONDS):
            while _orphans(data):
                await asyncio.sleep(POLL_SECONDS)
    for pid in _orphans(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _orphans(data: Path) -> list[int]:
    return working_in(data.resolve())


def _line(pid_file: Path, number: int) -> str:
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return lines[number].strip() if len(lines) > number else ""


def _serves(pid: int, data: Path) -> bool:
    """Whether the process is a PostgreSQL server on this data folder (its command line says so)."""
    return f"postgres -D {data} " in command_of(pid)


async def _ended(pid: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            while identify(pid) is not None:
                await asyncio.sleep(POLL_SECONDS)
