"""The folder for what can be made again: unpacked broker packages and copies of server binaries, shared by all
platforms of one user. As root it must be one that the servers' unprivileged account can enter."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from shopflow.local.failures import LocalFailure

WAIT_FOR_OTHERS = 0.2  # seconds between two attempts to take the lock


def cache_folder() -> Path:
    """The folder, made if missing: `/var/cache/shopflow` for root, else `shopflow` in `$XDG_CACHE_HOME`, `~/.cache`."""
    if os.geteuid() == 0:
        folder = Path("/var/cache/shopflow")
    else:
        parent = os.environ.get("XDG_CACHE_HOME", "")
        folder = (Path(parent) if Path(parent).is_absolute() else Path.home() / ".cache") / "shopflow"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            folder.chmod(0o755)
    except OSError as error:
        raise LocalFailure(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that can"
        ) from error
    return folder


@asynccontextmanager
async def only_one(name: str, *, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the cache's lock `name`; `waiting` is called once if another process has it."""
    with _open_lock(cache_folder() / f"{name}.lock") as lock:
        told = False
        while not _locked(lock.fileno()):
            if not told:
                waiting()
                told = True
            await asyncio.sleep(WAIT_FOR_OTHERS)
        yield


def _open_lock(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
