"""auth-service over real HTTP and PostgreSQL, with hashes of the lowest cost."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import aiohttp
import asyncpg
import pytest
from tests.service.auth.shop import SECRET, OpenShop, Shop

from shopflow.auth.app import build
from shopflow.auth.settings import Settings
from shopflow.auth.tokens import Tokens
from shopflow.kit.service import Application
from shopflow.kit.settings import read

Serve = Callable[[Application], Awaitable[str]]
MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def open_shop(serving: Serve, database_of: MakeDatabase, http: aiohttp.ClientSession) -> AsyncIterator[OpenShop]:
    """Starts auth-service on a fresh database, its limits lifted unless a test sets them."""
    pools: list[asyncpg.Pool] = []

    async def start(**variables: str) -> Shop:
        url = await database_of("auth")
        environ = {"DATABASE_URL": url, "JWT_SECRET": SECRET, "SHOPFLOW_ENV": "test", "BCRYPT_COST": "4"} | {
            "RATE_LIMIT_AUTH": "off"
        }
        pools.append(await asyncpg.create_pool(url, min_size=1, max_size=2))
        address = await serving(build(read(Settings, environ | variables)))
        return Shop(address, http, url, pools[-1], Tokens(SECRET), count(1))

    yield start
    for pool in pools:
        await pool.close()


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    """auth-service as most tests want it."""
    return await open_shop()
