"""HTTP/1.1 on a plain socket, written and read by hand: what is sent is sent as it is, byte for byte.

Each call has a connection of its own and may come from any loopback address, as callers from different networks do.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

_LONGEST: Final = 64 * 1024 * 1024
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; status 0 stands for a connection that was closed without any."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body's value, or None for what is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def word(self) -> str:
        """The answer in a word."""
        return str(self.status) if self.status else "closed"


NOTHING: Final = Answer(0, (), b"", 0.0)


def request(method: str, path: str, *, headers: Headers = (), body: bytes | None = None) -> bytes:
    """A request that asks for the end of its connection; header values may hold anything."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.insert(1, "Host: shopflow")
    if body is not None and not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    return head.encode("latin-1", "replace") + (body or b"")


async def connected(base: str, source: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the address that a base URL names, from a loopback address of one's choice."""
    place = urlsplit(base)
    local = (source, 0) if source else None
    return await asyncio.open_connection(place.hostname, place.port, local_addr=local, limit=_LONGEST)


async def exchange(
    base: str, raw: bytes, *, source: str | None = None, within: float = 10.0, most: int = 1
) -> list[Answer]:
    """Sends bytes and reads answers until there are `most`, the connection ends, or the time is over."""
    started = perf_counter()
    answers: list[Answer] = []
    try:
        reader, writer = await connected(base, source)
    except OSError:
        return answers
    try:
        with suppress(TimeoutError, OSError, EOFError, ValueError):
            async with asyncio.timeout(within):
                sending = asyncio.create_task(_send(writer, raw))
                try:
                    while len(answers) < most:
                        answers.append(await _answer(reader, started, bodiless=raw.startswith(b"HEAD ")))
                finally:
                    sending.cancel()
    finally:
        writer.transport.abort()
    return answers


async def _send(writer: asyncio.StreamWriter, raw: bytes) -> None:
    with suppress(OSError):  # a server may answer and close before it has taken everything
        writer.write(raw)
        await writer.drain()


async def _answer(reader: asyncio.StreamReader, started: float, *, bodiless: bool) -> Answer:
    """The next answer; an interim one (1xx) is passed over."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = tuple(_field(line) for line in head[1:] if ":" in line)
        if status >= 200:
            break
    named = {name.lower(): value for name, value in headers}
    body = b"" if bodiless or status in {204, 304} else await _body(reader, named)
    return Answer(status, headers, body, perf_counter() - started)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


async def _body(reader: asyncio.StreamReader, named: dict[str, str]) -> bytes:
    if named.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)
    if "content-length" in named:
        return await reader.readexactly(int(named["content-length"]))
    return await reader.read(_LONGEST)
