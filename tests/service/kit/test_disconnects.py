"""Clients that go away in the middle: the work is finished or undone as a whole, and nothing stays behind (H-10)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg
import pytest
from litestar import post
from litestar.params import JSONBody
from tests.service.kit.stand import Gate, Serve, port_of

from shopflow.kit.answers import json_body
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.service import Application

MakeDatabase = Callable[[str], Awaitable[str]]

POOL = 3
HEAD = b"POST /pairs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = b'{"name": "x"}'


@pytest.fixture
async def url(database_of: MakeDatabase) -> str:
    return await database_of("auth")


@pytest.fixture
async def watching(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, with a table of two rows a request."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE pairs (half int NOT NULL)")
    yield connection
    await connection.close()


def application(database: Database, gate: Gate) -> Application:
    """One path that writes two rows in one transaction, and waits in between."""

    @post("/pairs", dto=json_body(dict[str, Any]), return_dto=None)
    async def pair(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO pairs VALUES (1)")
            await gate.passed()
            await connection.execute("INSERT INTO pairs VALUES (2)")
        return data

    return Application(
        name="pair-service", summary="Pairs.", routes=[pair], resources=[database], dependencies=[], metrics=Metrics(),
        max_body=1000,
    )  # fmt: skip


async def goes_away(port: int, raw: bytes, *, once: Callable[[], Awaitable[None]]) -> None:
    """Sends, waits until something has happened, and breaks the connection off."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    await once()
    writer.transport.abort()


async def until_nothing_runs(served: Application) -> None:
    """Waits until no request is in flight."""
    async with asyncio.timeout(20):
        while served.in_flight:
            await asyncio.sleep(0.01)


@pytest.mark.row("H-10")
async def test_who_goes_away_while_it_is_worked_on_leaves_both_rows_and_no_connection(
    serving: Serve, url: str, watching: asyncpg.Connection, http: aiohttp.ClientSession
) -> None:
    database, gate = Database(url, size=POOL), Gate()
    base = await serving(served := application(database, gate))
    port = port_of(base)
    raw = HEAD % len(BODY) + BODY
    await asyncio.gather(*(goes_away(port, raw, once=lambda: gate.waits_for(POOL)) for _ in range(POOL)))
    gate.opened.set()
    await until_nothing_runs(served)
    assert await watching.fetchval("SELECT array_agg(half ORDER BY half) FROM pairs") == [1] * POOL + [2] * POOL
    assert database._in_use == [0]
    for _ in range(POOL * 2):  # every connection of the pool is there for the next ones
        async with http.post(f"{base}/pairs", json={"name": "x"}) as response:
            assert response.status == 201


@pytest.mark.row("H-10")
async def test_who_goes_away_in_the_middle_of_a_body_leaves_nothing(
    serving: Serve, url: str, watching: asyncpg.Connection
) -> None:
    database, gate = Database(url, size=POOL), Gate()
    base = await serving(served := application(database, gate))

    async def begun() -> None:
        async with asyncio.timeout(20):
            while not served.in_flight:
                await asyncio.sleep(0.005)

    raw = HEAD % len(BODY) + BODY[:-3]
    await asyncio.gather(*(goes_away(port_of(base), raw, once=begun) for _ in range(50)))
    await until_nothing_runs(served)
    assert await watching.fetchval("SELECT count(*) FROM pairs") == 0
    assert (gate.arrived, database._in_use) == (0, [0])
