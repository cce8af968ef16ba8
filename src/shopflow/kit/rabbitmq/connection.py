"""A connection to the broker that no message can break, and that knows when the broker takes nothing from us.

It stands between the socket and the AMQP library and sees every frame that comes. It sends nothing of its own.
"""

import asyncio
import struct
from typing import Any, Final

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import constants
from yarl import URL

from shopflow.kit.rabbitmq.legible import legible

_HEAD: Final = struct.Struct(">BHI")  # of a frame: type, channel, size
_CLOSE: Final = struct.pack(">HH", 10, 50)
_BLOCKED: Final = struct.pack(">HH", 10, 60)
_UNBLOCKED: Final = struct.pack(">HH", 10, 61)


class Connection(aio_pika.Connection):
    """A connection as the library makes it, over a reader of ours."""

    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self._frames = _Frames(TLSTransportFactory() if self.url.scheme == "amqps" else TCPTransportFactory())
        self.kwargs["transport_factory"] = self._frames

    def __del__(self) -> None:
        """Begins nothing: the library's own would close it in a task that nobody awaits, on whatever loop is there."""

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no messages from us for now: it is short of memory or of disk (C12)."""
        return self._frames.reader is not None and self._frames.reader.blocked

    @property
    def farewell(self) -> str:
        """With which words the broker closed the connection; nothing if it did not."""
        return "" if self._frames.reader is None else self._frames.reader.farewell

    @property
    def heard_at(self) -> float:
        """When anything came at last, by the loop's clock; 0 before that."""
        return 0.0 if self._frames.reader is None else self._frames.reader.heard_at

    def abandon(self) -> None:
        """Closes the socket without a word: one whose other end is silent would stay open for ever."""
        if self._frames.writer is not None:
            self._frames.writer.transport.abort()


class _Frames(TransportFactory):
    def __init__(self, plain: TransportFactory) -> None:
        self._plain = plain
        self.reader: _Reader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._plain.create(url, **options)
        self.reader, self.writer = _Reader(reader), writer
        return self.reader, writer


class _Reader(asyncio.StreamReader):
    """Hands on, frame by frame, what another reader gets."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._left = b""
        self.blocked = False
        self.farewell = ""
        self.heard_at = 0.0

    def at_eof(self) -> bool:
        return not self._left and self._source.at_eof()

    async def readexactly(self, n: int) -> bytes:
        while len(self._left) < n:
            self._left += await self._frame()
        taken, self._left = self._left[:n], self._left[n:]
        return taken

    async def _frame(self) -> bytes:
        head = await self._source.readexactly(_HEAD.size)
        kind, channel, size = _HEAD.unpack(head)
        self.heard_at = asyncio.get_running_loop().time()
        rest = await self._source.readexactly(size + 1)
        if kind == constants.FRAME_HEADER:
            header = legible(rest[:-1])
            return _HEAD.pack(kind, channel, len(header)) + header + rest[-1:]
        if kind == constants.FRAME_METHOD:
            self._note(rest[:4], rest[4:-1])
        return head + rest

    def _note(self, method: bytes, arguments: bytes) -> None:
        if method in {_BLOCKED, _UNBLOCKED}:
            self.blocked = method == _BLOCKED
        elif method == _CLOSE:  # a code of two bytes, then a text that begins with its length in one
            self.farewell = arguments[3 : 3 + arguments[2]].decode(errors="replace")
