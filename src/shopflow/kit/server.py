"""Serves one application in one process (R65), on its port and perhaps on one for operators, and stops cleanly.

The stop: `/ready` turns 503, after a delay (for load balancers) nothing new is accepted, what runs is finished, then
the application's resources are closed, the last one first. At the worst that takes 3.5 s for requests, 0.5 s for the
server itself, 4.5 s and a last moment each for the resources: less than the ten that whoever told us to stop waits.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from shopflow.kit import logs
from shopflow.kit.heads import MAX_HEADERS
from shopflow.kit.listening import BACKLOG, affordable_connections, listener, raise_descriptor_limit
from shopflow.kit.service import Application

IDLE_WITHIN: Final = 10.0
"""Seconds a connection may take to send a request's headers; an idle one is closed then too."""

_FINISH_WITHIN: Final = 3.5
_LEAVE_WITHIN: Final = 0.5


async def serve(
    application: Application, *, host: str, port: int, internal_port: int | None = None, delay: float = 0.0
) -> None:
    """Runs until SIGTERM or SIGINT, then stops cleanly, within ten seconds after the delay.

    Args:
        application: what to serve; it is opened and closed here.
        host: the address to listen on.
        port: the port to listen on.
        internal_port: as `running` takes it.
        delay: seconds between being told to stop and accepting nothing new.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = logs.logger("server")
    raise_descriptor_limit()
    async with running(application, host=host, port=port, internal_port=internal_port):
        log.info("started", port=port)
        await stop.wait()
        log.info("stopping")
        application.draining = True
        await asyncio.sleep(delay)
    log.info("stopped")


@asynccontextmanager
async def running(
    application: Application,
    *,
    host: str,
    port: int,
    internal_port: int | None = None,
    header_within: float = IDLE_WITHIN,
    connections: int | None = None,
) -> AsyncIterator[None]:
    """The application, open and listening for as long as the block lasts.

    Args:
        application: what to serve.
        host: the address to listen on.
        port: the port to listen on.
        internal_port: where operators' paths are served then; they are not on the other port any more.
        header_within: seconds that a connection may take for a request's headers.
        connections: how many may be open at once on a port; by default as many as the process can afford.

    Raises:
        PortTaken: a port is in use.
    """
    with _listeners(host, port, internal_port) as listening:
        await application.open()
        try:
            targets = [application] if internal_port is None else [application.outside, application]
            permits = connections or affordable_connections() // len(targets)
            servers = [
                _Server(target, each, header_within=header_within, permits=permits)
                for target, each in zip(targets, listening, strict=True)
            ]
            serving = [asyncio.create_task(server.serve()) for server in servers]
            try:
                await _begun(servers, serving)
                yield
            finally:
                application.draining = True
                for server in servers:
                    server.stop()  # type: ignore[no-untyped-call]
                await _finished(application, serving)
        finally:
            await application.close()


@contextmanager
def _listeners(host: str, port: int, internal_port: int | None) -> Iterator[list[socket.socket]]:
    """The sockets, taken before anything is opened; those that no server took over are closed."""
    with ExitStack() as stack:
        ports = [port] if internal_port is None else [port, internal_port]
        yield [stack.enter_context(listener(host, each)) for each in ports]


class _Server(Server):
    """The embedded server on a socket of ours: it would share its port with whoever else shares it (SO_REUSEPORT)."""

    def __init__(self, target: Any, listening: socket.socket, *, header_within: float, permits: int) -> None:
        super().__init__(
            target,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=permits,
            log_enabled=False,
            http1_settings=HTTP1Settings(header_read_timeout=int(header_within * 1000), max_buffer_size=MAX_HEADERS),
        )
        self._listening = listening
        # It takes no such argument, but waits that long for its worker to stop.
        self.workers_kill_timeout = _FINISH_WITHIN  # type: ignore[assignment]

    def _init_shared_socket(self) -> None:
        # What it would make of an address: a holder of a bound socket, whose descriptor its worker owns from then on.
        self._shd = SocketHolder(self._listening.detach(), False, BACKLOG)  # type: ignore[assignment,call-arg]


async def _begun(servers: list[_Server], serving: list[asyncio.Task[None]]) -> None:
    """Waits until the servers accept; the kernel has been keeping connections for them since the sockets listen."""
    while not all(server.wrks for server in servers):
        for task in serving:
            if task.done():
                task.result()
        await asyncio.sleep(0)


async def _finished(application: Application, serving: list[asyncio.Task[None]]) -> None:
    """Gives the requests in flight their time; a peer that merely keeps its connection open is not waited for."""
    deadline = asyncio.get_running_loop().time() + _FINISH_WITHIN
    while application.in_flight and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)  # once, at the end of a life: an event would cost every request
    await asyncio.wait(serving, timeout=_LEAVE_WITHIN)
    for task in serving:
        task.cancel()
