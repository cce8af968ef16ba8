"""A neighbour whose name leads elsewhere from now on, or nowhere for a while: it is found again without a restart.

What the system's resolver says is replaced; sockets, addresses and the HTTP client are real.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from shopflow.kit import peer
from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Kind, Problem

NAME = "neighbour.internal"
AWAY = str(Kind.UNAVAILABLE)


class Names:
    """What a name resolves to; None is a name server that does not know."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address: str | None = None
        self.asked = 0
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: Any, *rest: Any, **named: Any) -> Any:
        if host != NAME:
            return self._resolve(host, *rest, **named)
        self.asked += 1
        if self.address is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._resolve(self.address, *rest, **named)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


class Neighbour:
    """Somebody at an address who says his name, and how many have connected."""

    def __init__(self, name: str) -> None:
        self._answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode()
        self.connected: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers every request of a connection."""
        self.connected.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    def hang_up(self) -> None:
        """Ends every connection."""
        while self.connected:
            self.connected.pop().transport.abort()


@asynccontextmanager
async def at(address: str, neighbour: Neighbour, port: int = 0) -> AsyncIterator[int]:
    """A neighbour at this address; its connections end when it goes."""
    server = await asyncio.start_server(neighbour.handle, address, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        neighbour.hang_up()
        await server.wait_closed()


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Peer]:
    called = Peer("neighbour", f"http://{NAME}:{port}", metrics=Metrics())
    await called.open()
    try:
        yield called
    finally:
        await called.close()


async def heard(called: Peer) -> str:
    """Who answers; the kind of problem where nobody does."""
    try:
        return (await called.ask("GET", "/", {})).body.decode()
    except Problem as problem:
        return str(problem.kind)


async def until(called: Peer, name: str, *, meanwhile: Callable[[], None] = lambda: None) -> set[str]:
    """Who answered until it was this one."""
    answered: set[str] = set()
    async with asyncio.timeout(20):
        while name not in answered:
            meanwhile()
            answered.add(await heard(called))
            await asyncio.sleep(0.01)
    return answered


@pytest.mark.row("N-6")
async def test_a_neighbour_that_moved_is_found_once_its_old_address_is_forgotten(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peer.NAMES_KEPT == 10
    monkeypatch.setattr(peer, "NAMES_KEPT", 0.3)
    old, new = Neighbour("old"), Neighbour("new")
    names.address = "127.0.0.1"
    async with at("127.0.0.1", old) as port, at("127.0.0.2", new, port), calling(port) as called:
        assert await heard(called) == "old"
        names.address = "127.0.0.2"
        assert await heard(called) == "old"  # a connection that holds is used as long as it holds
        assert len(old.connected) == 1
        assert await until(called, "new", meanwhile=old.hang_up) == {"old", "new"}


@pytest.mark.row("N-6")
async def test_a_neighbour_whose_old_address_is_dead_is_unavailable_until_that_is_forgotten(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "NAMES_KEPT", 0.3)
    names.address = "127.0.0.1"
    async with AsyncExitStack() as stack:
        async with at("127.0.0.1", Neighbour("old")) as port:
            called = await stack.enter_async_context(calling(port))
            assert await heard(called) == "old"
        await stack.enter_async_context(at("127.0.0.2", Neighbour("new"), port))
        names.address = "127.0.0.2"
        assert await heard(called) == AWAY
        assert await until(called, "new") <= {AWAY, "new"}


@pytest.mark.row("N-6")
async def test_a_name_that_cannot_be_resolved_is_unavailable_until_it_can(names: Names) -> None:
    async with at("127.0.0.1", Neighbour("there")) as port, calling(port) as called:
        assert [await heard(called) for _ in range(3)] == [AWAY] * 3
        names.address = "127.0.0.1"
        assert await heard(called) == "there"
        asked = names.asked
        assert await heard(called) == "there"
        assert names.asked == asked
