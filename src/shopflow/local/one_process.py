"""A server that is one process: held, awaited, stopped, and given up when it does not become ready in time.

What PostgreSQL, RabbitMQ and our own services have in common. Each says itself how it is started and when it is ready.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from shopflow.local.failures import LocalFailure
from shopflow.local.ports import free_port
from shopflow.local.processes import Child

PORT_ATTEMPTS = 3


class OneProcess:
    """`title` names it to a person; `patience` are the seconds that it may take to stop."""

    def __init__(self, name: str, *, title: str, log: Path, patience: float) -> None:
        self.name = name
        self.log = log
        self._title = title
        self._patience = patience
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        """The running process, if any."""
        return self._child

    async def wait(self) -> int:
        """Wait until the process ends by itself; returns its exit status."""
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        """Stop it cleanly. Does nothing when it is down."""
        if self._child is not None:
            await self._child.stop(patience=self._patience)
            self._child = None

    async def _becomes_ready(self, child: Child, is_ready: Awaitable[bool], *, within: float) -> bool:
        """Hold a process just started; False if it ended instead of becoming ready. Only a ready one is left running.

        Raises LocalFailure when it does neither within so many seconds.
        """
        self._child = child
        try:
            async with asyncio.timeout(within):
                if await is_ready:
                    return True
        except TimeoutError as error:
            await self.stop()
            line = f"{self._title} is not ready after {within:.0f} s, see {self.log}"
            raise LocalFailure(line, detail=child.output.tail()) from error
        except BaseException:
            await self.stop()
            raise
        await self.stop()
        return False


class PortProcess(OneProcess):
    """One that listens on a loopback port. `port` is preferred, not promised: read it after the start."""

    def __init__(self, name: str, *, title: str, log: Path, patience: float, port: int | None) -> None:
        super().__init__(name, title=title, log=log, patience=patience)
        self.port = port or 0
        self._settled = False

    async def _start_on_a_free_port(
        self, launch: Callable[[], Awaitable[bool]], *, taken: str, said: Callable[[], str]
    ) -> None:
        """Launch it, on another port when what it `said` holds `taken`: somebody was quicker. Raises LocalFailure."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if not self._settled:  # afterwards others know the port, and only that one will do
                self.port = free_port(remembered=self.port or None)
            if await launch():
                self._settled = True
                return
            if taken not in said() or attempt == PORT_ATTEMPTS:
                raise LocalFailure(f"{self._title} did not start, see {self.log}", detail=said())
