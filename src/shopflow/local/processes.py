"""Child processes and how they are recognised later: a pid together with its start time, so that a pid which the
system has given to somebody else in the meantime is never signalled."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shopflow.local import leash
from shopflow.local.accounts import Account

START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing bracket (field 22 of proc(5))
STATE_FIELD = 0
TAIL_BYTES = 64 * 1024
PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for good: `started` is opaque text, equal only for the same process."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """The process that has this pid now; None when there is none, or only an unreaped corpse."""
    stat = Path(f"/proc/{pid}/stat")
    if PROC.is_dir():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[STATE_FIELD] in "ZX" else Identity(pid, fields[START_TIME_FIELD])
    shown = _ask_ps(pid, "lstart=")
    return Identity(pid, shown) if shown else None


def working_in(folder: Path) -> list[int]:
    """The processes whose working folder this is, as far as we may ask; where there is no /proc, none."""
    found = []
    for entry in PROC.parent.iterdir() if PROC.is_dir() else ():
        with suppress(OSError):
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def command_of(pid: int) -> str:
    """The command line of a process, arguments separated by blanks and followed by one; empty when there is none."""
    if PROC.is_dir():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return f"{_ask_ps(pid, 'args=')} "


def is_alive(process: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


@dataclass(frozen=True, slots=True)
class Output:
    """What one run of a program has written to its log, from `start` (bytes) on."""

    log: Path
    start: int

    @classmethod
    def beginning_now(cls, log: Path) -> "Output":
        """The part of the log that is still to be written."""
        return cls(log, log.stat().st_size if log.exists() else 0)

    def tail(self) -> str:
        """Its last lines."""
        return tail(self.log, start=self.start)


class Child:
    """A running program in a session of its own, writing to a log file, tied to the life of this process."""

    def __init__(
        self, process: asyncio.subprocess.Process, identity: Identity, stop_signal: signal.Signals, output: Output
    ) -> None:
        self._process = process
        self.output = output
        self.stop_signal = stop_signal
        self.identity = identity

    @classmethod
    async def spawn(
        cls,
        program: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        account: Account | None = None,
    ) -> "Child":
        """Start `program` in `folder` with exactly `environment`, as `account` (None: as ourselves).

        Call it from the main thread: Linux ties the child to the thread that started it. `stop_signal` is what asks it
        to stop, and what it receives should this process be killed.
        """
        shim = (sys.executable, "-I", "-S", leash.__file__, str(int(stop_signal)), str(os.getpid()))
        owner = f"{account.uid}:{account.gid}" if account else "-"
        output = Output.beginning_now(log)
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *shim,
                owner,
                *(str(part) for part in program),
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        identity = identify(process.pid) or Identity(process.pid, "gone")
        return cls(process, identity, stop_signal, output)

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative is the number of the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until it ends by itself; returns the exit status."""
        return await self._process.wait()

    async def stop(self, *, patience: float) -> int:
        """Ask it to stop; after `patience` seconds, kill it. Whatever it left in its session is killed too."""
        if self.exit_status is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(self.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience)
        self.kill()
        return await self._process.wait()

    def kill(self) -> None:
        """Kill it and everything in its session, at once."""
        kill_session(self.identity.pid)


def kill_session(leader: int) -> None:
    """SIGKILL to the whole process group that `leader` (started in a session of its own) leads or led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def tail(log: Path, *, lines: int = 20, start: int = 0) -> str:
    """The last lines of a log from the byte `start` on, as text; empty when there is no log."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= end else 0, end - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _ask_ps(pid: int, column: str) -> str:
    shown = subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()
