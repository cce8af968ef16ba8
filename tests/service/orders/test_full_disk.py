"""A database whose disk is full, as the kernel says it: answered 503, nothing is half-stored, and it goes on by itself.

The file of one table is a way to `/dev/full`, whose every write ends as on a full disk; nobody needs a disk for it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, placement

from shopflow.local.postgres import PostgreSQL
from shopflow.orders.settings import Settings

FullShop = Callable[[str], Awaitable[tuple[Shop, Callable[[], Awaitable[None]]]]]


@pytest.fixture
async def full_shop(
    settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession, postgres: PostgreSQL
) -> FullShop:
    """Opens a shop with no room for one of its tables, and says how that table gets room again."""

    async def open_full(table: str) -> tuple[Shop, Callable[[], Awaitable[None]]]:
        name = urlsplit(settings.database_url).path[1:]
        path = await postgres.execute(f"SELECT pg_relation_filepath('{table}')", database=name)
        file = postgres.folder / "data" / path.strip()
        assert file.stat().st_size == 0
        file.unlink()
        file.symlink_to(Path("/dev/full"))

        async def make_room() -> None:
            connection = await asyncpg.connect(settings.database_url)
            await connection.execute(f"VACUUM FULL {table}")  # which writes the table to a file of its own again
            await connection.close()

        return await opened(settings, auth, serving, http), make_room

    return open_full


@pytest.mark.row("D-9")
@pytest.mark.parametrize("table", ["orders", "order_history", "outbox", "idempotency_keys"])
async def test_a_placement_that_meets_a_full_disk_is_a_503_and_leaves_nothing(full_shop: FullShop, table: str) -> None:
    shop, make_room = await full_shop(table)
    key = {"Idempotency-Key": "the-one"}
    for _ in range(2):
        refused = await shop.ask("POST", "/orders", shop.customer, expect=503, json=placement(), headers=key)
        assert refused["type"] == "urn:shopflow:problem:database-unavailable"
    assert (await shop.ask("GET", "/orders", shop.customer, expect=200))["data"] == []
    await make_room()
    await shop.place(headers=key)
    assert await shop.stored() == (1, 1, 1, 1)
