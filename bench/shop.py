"""A platform of the bench's own, as `shopflow up` runs it: in a temporary home, on ports of its own, with the default
limits and costs whatever the caller's environment says. Gone without a trace at the end."""

import asyncio
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Final

import msgspec

from shopflow.local.given import NETWORK, SYSTEM
from shopflow.local.ports import is_free
from shopflow.local.processes import Child, tail

_UP: Final = (sys.executable, "-P", "-m", "shopflow", "up")
_UP_WITHIN: Final = 180.0  # a first start on a fresh machine fetches the broker
_DOWN_WITHIN: Final = 60.0
_POLL: Final = 0.02
_BASES: Final = (10_000, 19_900)  # below the ports that local servers and outgoing connections take
_PARTS: Final = (1, 2, 3, 10)
_READY: Final = re.compile(r"^(\w+): ready after ([\d.]+) s$", re.MULTILINE)


class NotUp(Exception):
    """The platform did not come up. The message is the end of what it said."""


class Addresses(msgspec.Struct, frozen=True):
    """What `up.json` says of a running platform."""

    auth: str
    orders: str
    notifications: str
    mailbox: str
    postgres: dict[str, str]
    pids: dict[str, int]


class Start(msgspec.Struct, frozen=True):
    """How long one `up` took: in all until `up.json` was there, and each part as `up` itself says (seconds)."""

    seconds: float
    parts: dict[str, float]


class Platform:
    """One home and its ports; up between `start` and `stop`.

    Attributes:
        jwt_secret: signs this platform's tokens.
        addresses: where everything is, while it is up.
    """

    def __init__(self, folder: Path) -> None:
        self.jwt_secret = token_hex(32)
        self._home = folder / "home"
        self._log = folder / "up.log"
        self._folder = folder
        self._port_base = _free_base()
        self._child: Child | None = None

    @property
    def addresses(self) -> Addresses:
        return msgspec.json.decode((self._home / "up.json").read_bytes(), type=Addresses)

    @property
    def roots(self) -> dict[str, int]:
        """The process of each part, `up` itself included."""
        return self.addresses.pids | ({"up": self._child.identity.pid} if self._child else {})

    async def start(self) -> Start:
        """Returns once everything answers. Raises NotUp."""
        said_before = self._log.stat().st_size if self._log.exists() else 0
        began = time.perf_counter()
        self._child = await Child.spawn(_UP, environment=self._environment(), log=self._log, folder=self._folder)
        while not (self._home / "up.json").exists():
            if self._child.exit_status is not None or time.perf_counter() - began > _UP_WITHIN:
                raise NotUp(tail(self._log, start=said_before))
            await asyncio.sleep(_POLL)
        seconds = time.perf_counter() - began
        said = self._log.read_bytes()[said_before:].decode(errors="replace")
        return Start(seconds, {name: float(took) for name, took in _READY.findall(said)})

    async def stop(self) -> None:
        """Stops everything. Does nothing when it is down."""
        if self._child is not None:
            await self._child.stop(patience=_DOWN_WITHIN)
            self._child = None

    def _environment(self) -> Mapping[str, str]:
        """What the system needs, and nothing that would change what is measured."""
        kept = {name: value for name, value in os.environ.items() if name in {*SYSTEM, *NETWORK, "XDG_CACHE_HOME"}}
        return kept | {
            "SHOPFLOW_HOME": str(self._home),
            "SHOPFLOW_PORT_BASE": str(self._port_base),
            "JWT_SECRET": self.jwt_secret,
        }


@asynccontextmanager
async def own() -> AsyncIterator[Platform]:
    """A platform that is not up yet, and that is stopped and removed at the end."""
    platform = Platform(folder := _temporary())
    try:
        yield platform
    finally:
        await platform.stop()
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree((folder / "home" / "data").resolve(), ignore_errors=True)  # `up` may have had to put it elsewhere
    shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="shopflow-bench-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # root's servers run as somebody else, who has to pass through
    return folder


def _free_base() -> int:
    dice = random.SystemRandom()
    while True:
        base = dice.randrange(*_BASES, 20)
        if all(is_free(base + part) for part in _PARTS):
            return base
