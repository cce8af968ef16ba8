"""Keeps a set of servers running: starts them, starts again what dies, gives up on what dies too often, and stops all
in reverse order. It does not know what the servers are."""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from shopflow.local.failures import LocalFailure
from shopflow.local.home import Running
from shopflow.local.processes import Child, Identity, is_alive, kill_session, tail

DEATHS, WITHIN_SECONDS = 5, 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0  # seconds between two attempts to bring one server back
STALE_SECONDS = 12.0
POLL_SECONDS = 0.05


class Server(Protocol):
    """Something that runs in a process of its own and can be started again."""

    name: str
    log: Path

    @property
    def child(self) -> Child | None:
        """The running process, if any."""

    async def start(self) -> None:
        """Return once it is ready; raise LocalFailure, leaving nothing running, if it does not get there."""

    async def wait(self) -> int:
        """Return its exit status once it has ended by itself."""

    async def stop(self) -> None:
        """Stop it and everything it started; does nothing when it is down."""


class Supervisor:
    """Servers are known by name; `order` names them as they depend on each other, and they are stopped in reverse.

    `say` tells a person what happens to them; `changed` is called whenever the set of processes has changed.
    """

    def __init__(self, order: Sequence[str], *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._order = tuple(order)
        self._servers: dict[str, Server] = {}
        self._say = say
        self._changed = changed
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._given_up: asyncio.Future[LocalFailure] = asyncio.get_running_loop().create_future()

    def running(self) -> list[Running]:
        """The processes that run now."""
        return [
            Running(server.name, child.identity.pid, child.identity.started, int(child.stop_signal))
            for server in self._in_order()
            if (child := server.child) is not None and child.exit_status is None
        ]

    async def start(self, server: Server) -> None:
        """Start one of the servers and watch it from then on."""
        self._servers[server.name] = server
        await server.start()
        watcher = asyncio.create_task(self._watch(server))
        watcher.add_done_callback(self._surface)
        self._watchers[server.name] = watcher
        self._changed()

    async def until_hopeless(self) -> LocalFailure:
        """Wait until one server has died too often; returns what to tell."""
        return await asyncio.shield(self._given_up)

    async def stop(self) -> None:
        """Stop everything, the last first; whatever happens to one, the others are stopped too."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        self._watchers.clear()
        for server in reversed(self._in_order()):
            if server.child is not None:
                self._say(f"stopping {server.name}")
            await server.stop()
        self._changed()

    def kill(self) -> None:
        """Kill everything at once, for a person who will not wait."""
        for child in self.running():
            kill_session(child.pid)

    def _in_order(self) -> list[Server]:
        return [self._servers[name] for name in self._order if name in self._servers]

    async def _watch(self, server: Server) -> None:
        deaths: deque[float] = deque(maxlen=DEATHS)
        while True:
            status = await server.wait()
            deaths.append(time.monotonic())
            self._say(f"{server.name} {_how_it_ended(status)}: starting it again")
            while not await self._again(server, deaths):
                deaths.append(time.monotonic())
            self._changed()

    async def _again(self, server: Server, deaths: deque[float]) -> bool:
        """One attempt to bring it back; whether it is ready."""
        if len(deaths) == DEATHS and deaths[-1] - deaths[0] < WITHIN_SECONDS:
            self._give_up(server)
            await asyncio.Event().wait()  # until stop() cancels this watcher
        await server.stop()  # what the dead process left in its session
        await asyncio.sleep(min(FIRST_PAUSE * 2 ** (len(deaths) - 1), LONGEST_PAUSE))
        try:
            await server.start()
        except LocalFailure as failure:
            self._say(str(failure))
            return False
        self._say(f"{server.name} is back")
        return True

    def _surface(self, watcher: asyncio.Task[None]) -> None:
        """A watcher that fails leaves a server unwatched: that is the end, not a line in a log."""
        error = None if watcher.cancelled() else watcher.exception()
        if error is not None and not self._given_up.done():
            self._given_up.set_exception(error)

    def _give_up(self, server: Server) -> None:
        if not self._given_up.done():
            line = f"{server.name} died {DEATHS} times in a minute, see {server.log}"
            self._given_up.set_result(LocalFailure(line, detail=tail(server.log)))


async def stop_stale(children: Sequence[Running]) -> list[str]:
    """Stop what an `up` that was killed has left behind, the last started first; returns the names."""
    stale = [child for child in reversed(children) if is_alive(child.identity)]
    for child in stale:
        with suppress(ProcessLookupError):
            os.kill(child.pid, child.stop_signal)
        with suppress(TimeoutError):
            async with asyncio.timeout(STALE_SECONDS):
                await _ended(child.identity)
        kill_session(child.pid)
        await _ended(child.identity)
    return [child.name for child in stale]


async def _ended(process: Identity) -> None:
    while is_alive(process):
        await asyncio.sleep(POLL_SECONDS)


def _how_it_ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
