"""The steps in what goes over a link, found by reading PostgreSQL's, AMQP's and HTTP's own framing.

A step is something that a crash can come before or after: a statement and its completion, a publish and its confirm,
a delivery and its ack, a request and its answer. Names hold no ids, so that the same step has the same name each time.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from struct import unpack_from
from typing import Final

from tests.chaos.toxics import Direction

Piece = tuple[bytes, str | None]

_WRITES: Final = re.compile(
    r"\b(?<!FOR )(?<!DO )(INSERT INTO|UPDATE|DELETE FROM)\s+(?!SET\b|SKIP\b)(\w+)(?:\s+(?:AS\s+\w+\s+)?SET\s+(\w+))?"
)
_READS: Final = re.compile(r"\bFROM\s+(\w+)")


def statement_name(sql: str) -> str:
    """What a statement does, in a few words: the tables it writes, or else the first one it reads."""
    words = " ".join(sql.split())
    writes = [
        " ".join(filter(None, (verb.split()[0].lower(), table, column)))
        for verb, table, column in _WRITES.findall(words)
    ]
    if writes:
        return ", ".join(dict.fromkeys(writes))
    read = _READS.search(words)
    return f"select {read.group(1)}" if read else words[:24].lower()


class PostgresWire:
    """One connection to PostgreSQL: a step for each statement that is run, and for its end."""

    _UNTYPED: Final = 4
    _STARTUP: Final = 196608
    _ASK_FOR_TLS: Final = 80877103

    def __init__(self) -> None:
        self._rest = dict.fromkeys(Direction, b"")
        self._started = False
        self._tls_asked = False
        self._statements: dict[bytes, str] = {}
        self._running: str | None = None

    def split(self, way: Direction, data: bytes) -> Iterator[Piece]:
        """The messages, each whole."""
        buffer = self._rest[way] + data
        position = 0
        while (end := self._end(way, buffer, position)) is not None:
            message = buffer[position:end]
            yield message, self._step(way, message)
            position = end
        self._rest[way] = buffer[position:]

    def _end(self, way: Direction, buffer: bytes, start: int) -> int | None:
        """Where the message that begins at `start` ends; None when it is not whole yet."""
        if start >= len(buffer):
            return None
        if way is Direction.DOWN and self._tls_asked and not self._started:
            return start + 1  # a single letter answers
        offset = 0 if way is Direction.UP and not self._started else 1
        if len(buffer) < start + offset + 4:
            return None
        end = start + offset + int(unpack_from(">I", buffer, start + offset)[0])
        return end if end <= len(buffer) else None

    def _step(self, way: Direction, message: bytes) -> str | None:
        if way is Direction.DOWN:
            return self._ended() if self._started and message[:1] == b"Z" else None
        if not self._started:
            code = unpack_from(">I", message, 4)[0]
            self._tls_asked = code == self._ASK_FOR_TLS
            self._started = code == self._STARTUP
            return None
        return self._begun(message)

    def _begun(self, message: bytes) -> str | None:
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, sql = body.split(b"\0", 2)[:2]
            self._statements[name] = statement_name(sql.decode(errors="replace"))
        elif kind == b"B":
            self._running = self._statements.get(body.split(b"\0", 2)[1], "unknown statement")
            return self._running
        elif kind == b"Q":
            self._running = statement_name(body.rstrip(b"\0").decode(errors="replace"))
            return self._running
        return None

    def _ended(self) -> str | None:
        ended, self._running = self._running, None
        return ended


class AmqpWire:
    """One connection to RabbitMQ: a step for each publish, confirm, delivery, ack; what sets it up is none."""

    _PROTOCOL_HEADER: Final = 8
    _METHOD: Final = 1
    _NAMES: Final = {(60, 80): "ack", (60, 120): "nack", (60, 90): "reject", (60, 50): "return"}
    _PUBLISH: Final = (60, 40)
    _DELIVER: Final = (60, 60)

    def __init__(self) -> None:
        self._rest = dict.fromkeys(Direction, b"")
        self._greeted = False

    def split(self, way: Direction, data: bytes) -> Iterator[Piece]:
        """The frames, each whole."""
        buffer = self._rest[way] + data
        position = 0
        if way is Direction.UP and not self._greeted and len(buffer) >= self._PROTOCOL_HEADER:
            self._greeted = True
            position = self._PROTOCOL_HEADER
            yield buffer[:position], None
        while len(buffer) >= position + 7:
            end = position + 7 + int(unpack_from(">I", buffer, position + 3)[0]) + 1
            if end > len(buffer):
                break
            frame = buffer[position:end]
            yield frame, self._step(frame) if frame[0] == self._METHOD else None
            position = end
        self._rest[way] = buffer[position:]

    def _step(self, frame: bytes) -> str | None:
        method = unpack_from(">HH", frame, 7)
        if method == self._PUBLISH:
            exchange, position = _short(frame, 13)
            return f"publish {exchange or 'queue'} {_short(frame, position)[0]}"
        if method == self._DELIVER:
            _, position = _short(frame, 11)
            again = "again " if frame[position + 8] & 1 else ""
            exchange, position = _short(frame, position + 9)
            return f"deliver {again}{exchange or 'queue'} {_short(frame, position)[0]}"
        return self._NAMES.get(method)


def _short(frame: bytes, position: int) -> tuple[str, int]:
    """A short string of AMQP, and where it ends."""
    end = position + 1 + frame[position]
    return frame[position + 1 : end].decode(errors="replace"), end


_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|AC[0-9a-f]{32}")


class HttpWire:
    """One connection of HTTP/1.1: a step for each request, and for its answer."""

    def __init__(self) -> None:
        self._rest = dict.fromkeys(Direction, b"")
        self._missing = dict.fromkeys(Direction, 0)
        self._chunked = dict.fromkeys(Direction, False)
        self._asked: deque[str] = deque()

    def split(self, way: Direction, data: bytes) -> Iterator[Piece]:
        """Heads whole, bodies as they come."""
        buffer = self._rest[way] + data
        while buffer:
            body = self._body(way, buffer)
            if body:
                yield buffer[:body], None
                buffer = buffer[body:]
                continue
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            head, buffer = buffer[: end + 4], buffer[end + 4 :]
            yield head, self._step(way, head.decode("latin-1"))
        self._rest[way] = buffer

    def _body(self, way: Direction, buffer: bytes) -> int:
        """How many of the bytes belong to the body that is under way."""
        if self._chunked[way]:
            end = buffer.find(b"0\r\n\r\n")
            if end >= 0:
                self._chunked[way] = False
                return end + 5
            return len(buffer)
        length = min(self._missing[way], len(buffer))
        self._missing[way] -= length
        return length

    def _step(self, way: Direction, head: str) -> str:
        first, _, fields = head.partition("\r\n")
        length = re.search(r"^content-length:\s*(\d+)", fields, re.IGNORECASE | re.MULTILINE)
        self._missing[way] = int(length.group(1)) if length else 0
        self._chunked[way] = (
            re.search(r"^transfer-encoding:.*chunked", fields, re.IGNORECASE | re.MULTILINE) is not None
        )
        if way is Direction.UP:
            method, target = first.split(" ")[:2]
            self._asked.append(f"{method} {_ID.sub(':id', target.partition('?')[0])}")
            return self._asked[-1]
        return f"{first.split(' ')[1]} {self._asked.popleft() if self._asked else 'nobody asked'}"


WIRES: Final[dict[str, Callable[[], PostgresWire | AmqpWire | HttpWire]]] = {
    "postgres": PostgresWire,
    "rabbitmq": AmqpWire,
    "http": HttpWire,
}
