"""Somebody at the database whose locks run against ours: one side is ended, it is answered 503, nothing is half-stored.

No two statements of ours can do this to each other: each takes its tables and its rows in one order. Who changes tables
by hand, or sets another isolation for the whole database, can.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, placement

from shopflow.local.postgres import PostgreSQL
from shopflow.orders.settings import Settings

WAITING = """
SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1 AND query LIKE '%order_history%'
"""


@asynccontextmanager
async def somebody(postgres: PostgreSQL, shop: Shop) -> AsyncIterator[asyncpg.Connection]:
    """An open transaction of the server's owner in the shop's database; no deadlock ends it, so it ends the other."""
    database = urlsplit(shop.database).path[1:]
    connection = await asyncpg.connect(postgres.superuser_url, database=database)
    try:
        await connection.execute("SET deadlock_timeout = '1min'")
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


async def until_waiting(superuser: asyncpg.Connection, shop: Shop) -> None:
    """Waits until a placement or a transition waits for a lock; trimming the outbox may too."""
    async with asyncio.timeout(20):
        while not await superuser.fetch(WAITING, urlsplit(shop.database).path[1:]):
            await asyncio.sleep(0.005)


@pytest.mark.row("D-7")
async def test_a_placement_that_a_deadlock_ends_is_a_503_and_leaves_nothing(
    shop: Shop, postgres: PostgreSQL, superuser: asyncpg.Connection
) -> None:
    key = {"Idempotency-Key": "the-one"}
    async with somebody(postgres, shop) as connection:
        await connection.execute("LOCK TABLE outbox IN SHARE MODE")
        ask = shop.ask("POST", "/orders", shop.customer, expect=503, json=placement(), headers=key)
        placing = asyncio.create_task(ask)
        await until_waiting(superuser, shop)
        await connection.execute("LOCK TABLE orders IN SHARE MODE")  # held by the placement, which waits for the outbox
        refused = await placing
    assert refused["type"] == "urn:shopflow:problem:database-unavailable"
    assert await shop.stored() == (0, 0, 0, 0)
    await shop.place(headers=key)
    assert await shop.stored() == (1, 1, 1, 1)


@pytest.mark.row("D-7")
async def test_a_transition_that_a_deadlock_ends_is_a_503_and_can_be_made_again(
    shop: Shop, postgres: PostgreSQL, superuser: asyncpg.Connection
) -> None:
    order = await shop.place()
    async with somebody(postgres, shop) as connection:
        await connection.execute("LOCK TABLE order_history IN SHARE MODE")
        advancing = asyncio.create_task(shop.advance(order["id"], "confirmed", expect=503))
        await until_waiting(superuser, shop)
        await connection.execute("LOCK TABLE orders IN SHARE MODE")
        refused = await advancing
    assert refused["type"] == "urn:shopflow:problem:database-unavailable"
    assert await shop.stored() == (1, 1, 1, 0)
    assert (await shop.advance(order["id"], "confirmed"))["status"] == "confirmed"


@pytest.fixture
async def strict_shop(
    settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession, superuser: asyncpg.Connection
) -> Shop:
    """A shop whose database refuses what did not happen one after the other."""
    name = urlsplit(settings.database_url).path[1:]
    await superuser.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'")
    return await opened(settings, auth, serving, http)


@pytest.mark.row("D-7")
async def test_a_transition_that_cannot_be_serialised_is_a_503_and_can_be_made_again(
    strict_shop: Shop, postgres: PostgreSQL, superuser: asyncpg.Connection
) -> None:
    shop, order = strict_shop, await strict_shop.place()
    async with somebody(postgres, shop) as connection:
        await connection.execute("UPDATE orders SET notes = 'changed by hand'")
        advancing = asyncio.create_task(shop.advance(order["id"], "confirmed", expect=503))
        await until_waiting(superuser, shop)
    refused = await advancing
    assert refused["type"] == "urn:shopflow:problem:database-unavailable"
    assert await shop.stored() == (1, 1, 1, 0)
    assert (await shop.advance(order["id"], "confirmed"))["status"] == "confirmed"
