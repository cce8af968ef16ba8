"""A running platform seen from outside: whether it runs, what answers, what its logs say, and asking it to stop.
It reads what `up` has left in its home and never starts anything."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from shopflow.local.failures import LocalFailure
from shopflow.local.home import Home
from shopflow.local.processes import is_alive, tail
from shopflow.local.programs import http_status
from shopflow.local.supervisor import stop_stale

STOP_SECONDS = 75.0  # every service may take ten, the servers too
POLL_SECONDS = 0.1
FOLLOW_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a running platform. `address` is empty for servers that do not speak HTTP."""

    name: str
    pid: int | None
    address: str
    state: str  # ready, running (a server without HTTP), not ready, down


async def parts(home: Home) -> list[Part]:
    """What runs now, in order of start; empty when no `up` holds the home. Parts given from outside are not listed."""
    if not home.is_held():
        return []
    addresses = home.up() or {}
    children = [child for child in home.journal() if is_alive(child.identity)]
    pids = {child.name: child.pid for child in children}
    names = [*pids, *(name for name in addresses.get("pids", {}) if name not in pids)]
    return list(await asyncio.gather(*(_part(name, pids.get(name), addresses) for name in names)))


async def _part(name: str, pid: int | None, addresses: Mapping[str, object]) -> Part:
    address = addresses.get(name)
    url = address if isinstance(address, str) and address.startswith("http") else ""
    if pid is None:
        return Part(name, None, url, "down")
    if not url:
        return Part(name, pid, "", "running")
    answered = await http_status(urlsplit(url).port or 80, "/ready")
    return Part(name, pid, url, "ready" if answered == 200 else "not ready")


async def stop(home: Home) -> list[str]:
    """Ask the `up` of this home to stop and wait until it has; where it was killed, stop what it left behind.

    Returns what was stopped: nothing when nothing ran. Raises LocalFailure when it does not stop in time.
    """
    if not home.is_held():
        home.remove_up()
        return await stop_stale(home.journal())
    holder = home.holder()
    if holder is None:
        raise LocalFailure(f"{home.folder} is held by a program that cannot be seen from here: stop it where it runs")
    with suppress(ProcessLookupError):
        os.kill(holder.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            while home.is_held():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise LocalFailure(f"`up` (pid {holder.pid}) still runs after {STOP_SECONDS:.0f} s: kill it") from error
    return ["up"]


def logs(home: Home, name: str | None) -> list[Path]:
    """The log files: of one process, or all. Raises LocalFailure naming those there are."""
    there = sorted(home.logs.glob("*.log"))
    chosen = [log for log in there if name in {None, log.stem}]
    if not chosen:
        known = ", ".join(log.stem for log in there) or "none yet: `shopflow up` writes them"
        raise LocalFailure(f"no log of that name in {home.logs}: there are {known}")
    return chosen


def ends(files: Sequence[Path], *, lines: int) -> list[tuple[str, str]]:
    """The last lines of each log as (name, line)."""
    return [(log.stem, line) for log in files for line in tail(log, lines=lines).splitlines()]


async def follow(files: Sequence[Path]) -> AsyncIterator[tuple[str, str]]:
    """New lines as they are written, as (name, line), until cancelled. A log that was rolled is read from its start."""
    opened = {log: _at_end(log) for log in files}
    try:
        while True:
            for log, file in opened.items():
                for line in _new_lines(file):
                    yield log.stem, line
            await asyncio.sleep(FOLLOW_SECONDS)
    finally:
        for file in opened.values():
            file.close()


def _at_end(log: Path) -> BinaryIO:
    file = log.open("rb")
    file.seek(0, os.SEEK_END)
    return file


def _new_lines(file: BinaryIO) -> list[str]:
    """Whole lines only: one that is still being written waits for the next time."""
    if os.fstat(file.fileno()).st_size < file.tell():
        file.seek(0)
    lines = []
    for line in iter(file.readline, b""):
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            break
        lines.append(line.decode(errors="replace").rstrip("\r\n"))
    return lines
