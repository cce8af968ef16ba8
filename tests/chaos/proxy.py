"""A TCP proxy that stands between a service and what it talks to, and can spoil the link in every way we know.

It forwards bytes, asks a watcher before each step that it recognises in them, and knows nothing of what they mean.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import Enum
from random import Random
from typing import Protocol

from tests.chaos.toxics import Bandwidth, CutAfter, Direction, Latency, Silence, Slices, Toxic

_READ = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
_CONNECT_SECONDS = 5.0


class Decision(Enum):
    """What becomes of a step: it passes, or its connection ends before it is forwarded."""

    PASS = "pass"
    CUT = "cut"


class Entry(Enum):
    """What becomes of new connections: carried, refused (nobody listens), reset at once, or taken and never served."""

    CARRY = "carry"
    REFUSE = "refuse"
    RESET = "reset"
    BLACKHOLE = "blackhole"


class Wire(Protocol):
    """Finds the steps in one connection's bytes: pieces in order, each with the name of the step it begins, if any."""

    def split(self, direction: Direction, data: bytes) -> Iterable[tuple[bytes, str | None]]: ...


class Opaque:
    """A wire without steps."""

    def split(self, _: Direction, data: bytes) -> Iterable[tuple[bytes, str | None]]:
        """The bytes as they are."""
        return [(data, None)]


Watch = Callable[[str], Decision]


class _Cut(Exception):
    """The connection ends here."""


class _Connection:
    """One carried connection."""

    def __init__(self, wire: Wire, writers: dict[Direction, asyncio.StreamWriter]) -> None:
        self.wire = wire
        self.writers = writers
        self.carried = dict.fromkeys(Direction, 0)
        self.silent = False

    def end(self, *, reset: bool) -> None:
        """Close both sides, by RST or by FIN."""
        for writer in self.writers.values():
            if reset:
                _reset(writer)
            else:
                with suppress(OSError):
                    writer.close()


class Proxy:
    """One link.

    Args:
        name: what it is called in steps and reports.
        port: where the server behind it listens on loopback.
        wire: makes the reader of a connection's steps.
        watch: is asked, with `<direction> <step>`, before a step is forwarded.
        dice: decides jitter.
    """

    def __init__(
        self,
        name: str,
        *,
        port: int,
        wire: Callable[[], Wire] = Opaque,
        watch: Watch = lambda _: Decision.PASS,
        dice: Random | None = None,
    ) -> None:
        self.name = name
        self.target = port
        self.port = 0
        self.toxics: tuple[Toxic, ...] = ()
        self.accepted = 0
        self._wire = wire
        self._watch = watch
        self._dice = dice or Random(0)  # noqa: S311 - a seed repeats a run
        self._entry = Entry.CARRY
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start listening; the port stays the same for good."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=_READ)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection."""
        await self._unlisten()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def open_connections(self) -> int:
        """How many connections are carried now."""
        return len(self._connections)

    def cut(self, *, reset: bool = True) -> None:
        """End every connection that is carried now."""
        for connection in tuple(self._connections):
            connection.end(reset=reset)

    def freeze(self) -> None:
        """Leave every connection that is carried now half-open for good: what is sent on it vanishes."""
        for connection in self._connections:
            connection.silent = True

    async def admit(self, entry: Entry) -> None:
        """Say what becomes of new connections; those there are stay as they are."""
        self._entry = entry
        if entry is Entry.REFUSE:
            await self._unlisten()
        elif self._server is None:
            await self.open()

    @asynccontextmanager
    async def suffering(self, *toxics: Toxic) -> AsyncIterator[None]:
        """The link suffers for as long as the block lasts."""
        self.toxics = toxics
        try:
            yield
        finally:
            self.toxics = ()

    @asynccontextmanager
    async def down(self, entry: Entry = Entry.REFUSE) -> AsyncIterator[None]:
        """No connection holds and no new one is carried for as long as the block lasts."""
        await self.admit(entry)
        self.freeze() if entry is Entry.BLACKHOLE else self.cut()
        try:
            yield
        finally:
            await self.admit(Entry.CARRY)
            if entry is Entry.BLACKHOLE:
                self.cut()

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError):
            _reset(writer)
        except asyncio.CancelledError:  # by `close` only; asyncio's streams would complain about one that is passed on
            _reset(writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._entry is Entry.RESET:
            _reset(writer)
            return
        if self._entry is Entry.BLACKHOLE:
            while await reader.read(_READ):
                pass
            return
        async with asyncio.timeout(_CONNECT_SECONDS):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=_READ)
        connection = _Connection(self._wire(), {Direction.UP: far_writer, Direction.DOWN: writer})
        self._connections.add(connection)
        try:
            await self._carry(connection, reader, far_reader)
        finally:
            self._connections.discard(connection)
            connection.end(reset=False)

    async def _carry(
        self, connection: _Connection, reader: asyncio.StreamReader, far_reader: asyncio.StreamReader
    ) -> None:
        ways = ((Direction.UP, reader), (Direction.DOWN, far_reader))
        pumps = [asyncio.create_task(self._pump(connection, way, source)) for way, source in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, connection: _Connection, way: Direction, source: asyncio.StreamReader) -> None:
        try:
            while data := await source.read(_READ):
                for piece, step in connection.wire.split(way, data):
                    if step is not None and self._watch(f"{way.value} {step}") is Decision.CUT:
                        return
                    await self._forward(connection, way, piece)
        except _Cut:
            connection.end(reset=True)
        except OSError:
            return  # the other side has gone: this connection ends

    async def _forward(self, connection: _Connection, way: Direction, piece: bytes) -> None:
        toxics = [toxic for toxic in self.toxics if way in toxic.directions]
        if connection.silent or any(isinstance(toxic, Silence) for toxic in toxics):
            return
        for toxic in toxics:
            if isinstance(toxic, Latency):
                await asyncio.sleep(max(0.0, toxic.seconds + self._dice.uniform(-toxic.jitter, toxic.jitter)))
        size = min((toxic.size for toxic in toxics if isinstance(toxic, Slices)), default=len(piece))
        for start in range(0, len(piece), size):
            await self._send(connection, way, piece[start : start + size], toxics)

    async def _send(self, connection: _Connection, way: Direction, data: bytes, toxics: list[Toxic]) -> None:
        for toxic in toxics:
            if isinstance(toxic, CutAfter) and connection.carried[way] + len(data) > toxic.bytes:
                data = data[: toxic.bytes - connection.carried[way]]
                connection.writers[way].write(data)
                raise _Cut
            if isinstance(toxic, Bandwidth):
                await asyncio.sleep(len(data) / toxic.bytes_per_second)
        connection.writers[way].write(data)
        connection.carried[way] += len(data)
        await connection.writers[way].drain()
        for toxic in toxics:
            if isinstance(toxic, Slices):
                await asyncio.sleep(toxic.seconds)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST, as a host does that knows nothing of it."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
