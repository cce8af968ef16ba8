"""Calls to a neighbour: they end within a second, are tried once more when a connection breaks, and stay bounded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter

import pytest

from shopflow.kit import peer
from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Kind, Problem

PROMISED = peer.DEADLINE  # read before the fixture that gives in-process neighbours more room
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Neighbour = Callable[[Handle], Awaitable[Peer]]


@pytest.fixture
async def neighbour() -> AsyncIterator[Neighbour]:
    """Makes a neighbour out of what it does with a connection, and a peer that calls it."""
    async with AsyncExitStack() as stack:

        async def make(handle: Handle) -> Peer:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await handle(reader, writer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass  # the caller hung up
                finally:
                    writer.close()

            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            called = Peer("neighbour", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", metrics=Metrics())
            await called.open()
            stack.push_async_callback(called.close)
            return called

        yield make


async def unavailable(called: Peer, method: str = "GET") -> Problem:
    with pytest.raises(Problem) as caught:
        await called.ask(method, "/", {})
    assert caught.value.kind is Kind.UNAVAILABLE
    return caught.value


async def test_a_neighbour_that_never_answers_is_given_up_after_a_second(
    neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    assert PROMISED == 1.0
    monkeypatch.setattr(peer, "DEADLINE", PROMISED)
    called = await neighbour(silent)
    started = perf_counter()
    assert (await unavailable(called)).retry_after == 1
    assert perf_counter() - started < 5


async def test_a_neighbour_that_drips_is_given_up_after_the_same_second(
    neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in ANSWER * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    monkeypatch.setattr(peer, "DEADLINE", PROMISED)
    called = await neighbour(dripping)
    started = perf_counter()
    await unavailable(called)
    assert perf_counter() - started < 5


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_breaks_before_the_answer_is_tried_once_more(neighbour: Neighbour, method: str) -> None:
    calls = 0

    async def breaking_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await reader.readuntil(b"\r\n\r\n")
        calls += 1
        if calls > 1:
            writer.write(ANSWER)
            await writer.drain()

    called = await neighbour(breaking_first)
    assert ((await called.ask(method, "/", {})).status, calls) == (200, 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_neighbour_that_always_breaks_is_asked_twice_and_no_more(neighbour: Neighbour, method: str) -> None:
    calls = 0

    async def breaking(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal calls
        await reader.readuntil(b"\r\n\r\n")
        calls += 1

    await unavailable(await neighbour(breaking), method)
    assert calls == 2


async def test_an_answer_without_an_end_is_cut_off(neighbour: Neighbour) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    await unavailable(await neighbour(endless))


async def test_a_redirect_is_not_followed(neighbour: Neighbour) -> None:
    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    assert (await (await neighbour(elsewhere)).ask("GET", "/", {})).status == 302
