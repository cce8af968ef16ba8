"""Serves one application on one port, in one process (R65), and stops cleanly.

The stop: `/ready` turns 503, after a delay (for load balancers) nothing new is accepted, what runs is finished, then
the application's resources are closed, the last one first. At the worst that takes 3.5 s for requests, 0.5 s for the
server itself, 4.5 s and a last moment each for the resources: less than the ten that whoever told us to stop waits.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from shopflow.kit import logs
from shopflow.kit.service import Application

IDLE_WITHIN: Final = 10.0
"""Seconds a connection may take to send a request's headers; an idle one is closed then too."""

_MAX_HEADERS: Final = 64 * 1024
_FINISH_WITHIN: Final = 3.5
_LEAVE_WITHIN: Final = 0.5


class PortTaken(Exception):
    """Somebody else listens on the port. The message names it."""


async def serve(application: Application, *, host: str, port: int, delay: float = 0.0) -> None:
    """Runs until SIGTERM or SIGINT, then stops cleanly, within ten seconds after the delay.

    Args:
        application: what to serve; it is opened and closed here.
        host: the address to listen on.
        port: the port to listen on.
        delay: seconds between being told to stop and accepting nothing new.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = logs.logger("server")
    async with running(application, host=host, port=port):
        log.info("started", port=port)
        await stop.wait()
        log.info("stopping")
        application.draining = True
        await asyncio.sleep(delay)
    log.info("stopped")


@asynccontextmanager
async def running(application: Application, *, host: str, port: int) -> AsyncIterator[None]:
    """The application, open and listening for as long as the block lasts.

    Raises:
        PortTaken: the port is in use.
    """
    _must_be_free(host, port)
    await application.open()
    try:
        server = Server(
            application,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=1024,
            log_enabled=False,
            http1_settings=HTTP1Settings(header_read_timeout=int(IDLE_WITHIN * 1000), max_buffer_size=_MAX_HEADERS),
        )
        # The embedded server takes no such argument, but waits that long for its worker to stop.
        server.workers_kill_timeout = _FINISH_WITHIN  # type: ignore[assignment]
        serving = asyncio.create_task(server.serve())
        try:
            await _listening(serving, host, port)
            yield
        finally:
            application.draining = True
            server.stop()  # type: ignore[no-untyped-call]
            await _finished(application, serving)
    finally:
        await application.close()


def _must_be_free(host: str, port: int) -> None:
    """The server would share its port with whoever else shares it (SO_REUSEPORT): two services on one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"port {port} on {host} cannot be listened on: {error.strerror}") from error


async def _listening(serving: asyncio.Task[None], host: str, port: int) -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise PortTaken(f"port {port} on {host} is in use") from serving.exception()


async def _finished(application: Application, serving: asyncio.Task[None]) -> None:
    """Gives the requests in flight their time; a peer that merely keeps its connection open is not waited for."""
    deadline = asyncio.get_running_loop().time() + _FINISH_WITHIN
    while application.in_flight and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)  # once, at the end of a life: an event would cost every request
    await asyncio.wait([serving], timeout=_LEAVE_WITHIN)
    serving.cancel()
