"""The machine and its processes as Linux describes them: what the figures were measured on, how much memory (PSS) and
processor time each part took, and how much others took meanwhile. Reads `/proc`; changes nothing."""

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM = 1, 11, 12  # fields of /proc/<pid>/stat after the command's closing bracket
_IDLE, _IOWAIT, _STEAL, _COUNTED = 3, 4, 7, 8  # fields of the first line of /proc/stat


class Machine(msgspec.Struct, frozen=True):
    """What the figures were measured on, and when. `cores` are those this process may use."""

    cores: int
    processor: str
    memory_gib: float
    system: str
    python: str
    date: str
    revision: str
    load_average: tuple[float, float, float]


def describe(repository: Path) -> Machine:
    """This machine now, and the revision of the working tree."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=_first(PROC / "cpuinfo", "model name"),
        memory_gib=round(int(_first(PROC / "meminfo", "MemTotal").split()[0]) / 1024**2, 1),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        revision=_revision(repository),
        load_average=os.getloadavg(),
    )


def trees(roots: Mapping[str, int]) -> dict[str, list[int]]:
    """The processes of each part: the named one and its descendants, but for those that are another part's."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with suppress(OSError):
            children.setdefault(int(_stat(pid)[_PARENT]), []).append(pid)
    return descendants(roots, children)


def descendants(roots: Mapping[str, int], children: Mapping[int, list[int]]) -> dict[str, list[int]]:
    """As `trees`, out of who is whose child."""
    parts = set(roots.values())

    def tree(pid: int) -> list[int]:
        return [pid, *(below for child in children.get(pid, ()) if child not in parts for below in tree(child))]

    return {name: tree(pid) for name, pid in roots.items()}


def pss(pids: list[int]) -> float:
    """Megabytes (10^6 bytes) of memory: each process's own and its share of what several have in common."""
    kibibytes = 0
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            kibibytes += int(_first(PROC / str(pid) / "smaps_rollup", "Pss:").split()[0])
    return kibibytes * 1024 / 1e6


def rss(pid: int) -> float:
    """Megabytes (10^6 bytes) that one process has mapped and in memory, whoever else has them too."""
    return int(_first(PROC / str(pid) / "status", "VmRSS:").split()[0]) * 1024 / 1e6


def processor_seconds(pids: list[int]) -> float:
    """Seconds of processor time that these processes have taken so far."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = _stat(pid)
            total += int(fields[_USER]) + int(fields[_SYSTEM])
    return total / _TICKS


def busy_seconds() -> float:
    """Seconds of processor time that were taken by anything on this machine so far, the hypervisor's theft included."""
    fields = [int(field) for field in (PROC / "stat").read_text().splitlines()[0].split()[1:]]
    return sum(fields[each] for each in range(_COUNTED) if each not in {_IDLE, _IOWAIT}) / _TICKS


def stolen_seconds() -> float:
    """Seconds in which the hypervisor let other machines run instead of this one."""
    return int((PROC / "stat").read_text().splitlines()[0].split()[1 + _STEAL]) / _TICKS


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _first(file: Path, name: str) -> str:
    """What the first line that begins with `name` says after its colon; `0` without such a line."""
    lines = file.read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")


def _revision(repository: Path) -> str:
    """The commit, and whether the working tree differs from it; `unknown` outside of a repository."""
    said = subprocess.run(
        ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"
