"""The proxy itself: each toxic does what it says, or no verdict that rests on it means anything."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from tests.chaos.proxy import Decision, Entry, Proxy, Wire
from tests.chaos.toxics import Bandwidth, CutAfter, Direction, Latency, Silence, Slices


class Lines:
    """A wire whose steps are lines."""

    def split(self, _: Direction, data: bytes) -> Iterable[tuple[bytes, str | None]]:
        return [(line, line.strip().decode()) for line in data.splitlines(keepends=True)]


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, bytearray]]:
    """A server that sends back what it gets, and what it got."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                received.extend(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], received
    finally:
        server.close()


@asynccontextmanager
async def link(**options: object) -> AsyncIterator[tuple[Proxy, bytearray]]:
    """A proxy in front of an echo."""
    async with echo() as (port, received):
        proxy = Proxy("echo", port=port, **options)  # type: ignore[arg-type]
        await proxy.open()
        try:
            yield proxy, received
        finally:
            await proxy.close()


class Caller:
    """One connection through a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, data: bytes) -> bytes:
        """Sends, and waits for as many bytes."""
        self.writer.write(data)
        return await self.reader.readexactly(len(data))


@asynccontextmanager
async def calling(proxy: Proxy) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def test_a_healthy_link_carries_everything_both_ways() -> None:
    async with link() as (proxy, received), calling(proxy) as caller:
        sent = bytes(range(256)) * 2000
        assert await caller.says(sent) == sent == received


async def test_latency_is_added_in_the_direction_it_is_asked_for() -> None:
    async with link() as (proxy, _), calling(proxy) as caller:
        proxy.toxics = (Latency(seconds=0.2, directions=(Direction.UP,)),)
        started = perf_counter()
        await caller.says(b"once\n")
        assert 0.19 < perf_counter() - started < 0.39
        proxy.toxics = (Latency(seconds=0.2),)
        started = perf_counter()
        await caller.says(b"twice\n")
        assert perf_counter() - started > 0.39


async def test_a_thin_link_lets_so_many_bytes_a_second_through() -> None:
    async with link() as (proxy, _), calling(proxy) as caller:
        proxy.toxics = (Bandwidth(bytes_per_second=10_000, directions=(Direction.UP,)),)
        started = perf_counter()
        await caller.says(b"x" * 3000)
        assert perf_counter() - started > 0.19


async def test_slices_arrive_one_by_one_and_whole() -> None:
    async with link() as (proxy, received), calling(proxy) as caller:
        proxy.toxics = (Slices(size=1, seconds=0.02, directions=(Direction.UP,)),)
        caller.writer.write(b"ten bytes!")
        started = perf_counter()
        assert await caller.reader.readexactly(10) == b"ten bytes!"
        assert perf_counter() - started > 0.15
        assert received == b"ten bytes!"


async def test_silence_swallows_and_keeps_the_connection() -> None:
    async with link() as (proxy, received), calling(proxy) as caller:
        async with proxy.suffering(Silence(directions=(Direction.DOWN,))):
            caller.writer.write(b"heard, not answered\n")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await caller.reader.read(1)
        assert received == b"heard, not answered\n"
        assert await caller.says(b"again\n") == b"again\n"


async def test_a_frozen_connection_stays_half_open_while_new_ones_work() -> None:
    async with link() as (proxy, received), calling(proxy) as old:
        await old.says(b"before\n")
        proxy.freeze()
        old.writer.write(b"lost\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await old.reader.read(1)
        async with calling(proxy) as new:
            assert await new.says(b"after\n") == b"after\n"
        assert b"lost" not in received


async def test_a_connection_is_cut_after_so_many_bytes() -> None:
    async with link() as (proxy, received), calling(proxy) as caller:
        proxy.toxics = (CutAfter(bytes=5, directions=(Direction.UP,)),)
        caller.writer.write(b"hello, world")
        with pytest.raises(ConnectionResetError):
            await caller.reader.readexactly(100)
        assert received == b"hello"


async def test_a_cut_resets_what_is_there_and_new_connections_work() -> None:
    async with link() as (proxy, _):
        async with calling(proxy) as caller:
            await caller.says(b"x")
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                await caller.reader.read(1)
        async with calling(proxy) as caller:
            assert await caller.says(b"y") == b"y"


async def test_a_link_that_is_down_refuses_and_comes_back_on_the_same_port() -> None:
    async with link() as (proxy, _):
        port = proxy.port
        async with proxy.down():
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        async with calling(proxy) as caller:
            assert await caller.says(b"back") == b"back"
        assert proxy.port == port


async def test_a_link_that_resets_ends_new_connections_at_once() -> None:
    async with link() as (proxy, _), proxy.down(Entry.RESET), calling(proxy) as caller:
        with pytest.raises(ConnectionResetError):
            await caller.reader.read(1)


async def test_a_black_hole_takes_connections_and_never_answers() -> None:
    async with link() as (proxy, received), calling(proxy) as old:
        await old.says(b"before")
        async with proxy.down(Entry.BLACKHOLE), calling(proxy) as new:
            for caller in (old, new):
                caller.writer.write(b"into the void")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await caller.reader.read(1)
        assert received == b"before"


async def test_a_watched_step_is_cut_before_it_is_forwarded_and_not_after_the_ones_before_it() -> None:
    seen: list[str] = []

    def watch(step: str) -> Decision:
        seen.append(step)
        return Decision.CUT if step.endswith("second") else Decision.PASS

    wire: type[Wire] = Lines
    async with link(wire=wire, watch=watch) as (proxy, received), calling(proxy) as caller:
        caller.writer.write(b"first\nsecond\nthird\n")
        while await caller.reader.read(100):
            pass
        assert received == b"first\n"
        assert seen[:2] == ["\N{RIGHTWARDS ARROW} first", "\N{RIGHTWARDS ARROW} second"]


async def test_a_server_that_is_not_there_resets_the_caller() -> None:
    async with link() as (proxy, _):
        proxy.target = 1
        async with calling(proxy) as caller:
            with pytest.raises(ConnectionResetError):
                await caller.reader.read(1)
