"""order-service over real HTTP and PostgreSQL; auth-service is replaced by a small ASGI application."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, settings_of

from shopflow.orders.settings import Settings

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def auth(serving: Serve) -> Auth:
    made = Auth()
    made.url = await serving(made.application())
    return made


@pytest.fixture
async def settings(database_of: MakeDatabase, auth: Auth) -> Settings:
    """Settings without a broker: nothing but publishing needs one."""
    return settings_of(database_url=await database_of("orders"), auth_service_url=auth.url)


@pytest.fixture
async def shop(settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession) -> Shop:
    return await opened(settings, auth, serving, http)
