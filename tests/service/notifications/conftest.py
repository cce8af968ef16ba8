"""notification-service as production builds it: real HTTP, PostgreSQL, RabbitMQ and provider clients. Only the wires'
other ends are ours: the sandbox for the providers, small applications for the neighbours.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import aiohttp
import pytest
from tests.service.notifications.neighbours import SERVICE_TOKEN, Auth, Orders
from tests.service.notifications.shop import Shop

from shopflow.kit.service import Application
from shopflow.kit.settings import read
from shopflow.local import sandbox
from shopflow.notifications.app import build
from shopflow.notifications.settings import Settings

Serve = Callable[[Application], Awaitable[str]]
MakeDatabase = Callable[[str], Awaitable[str]]

LADDER = "0.1,0.2,0.4"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK wants to sign with."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def providers() -> AsyncIterator[aiohttp.ClientSession]:
    """The sandbox that answers as SES and Twilio do."""
    async with sandbox.opened() as url, aiohttp.ClientSession(url) as session:
        yield session


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
async def settings(
    *,
    database_of: MakeDatabase,
    broker_url: str,
    providers: aiohttp.ClientSession,
    auth: Auth,
    orders: Orders,
    serving: Serve,
) -> Settings:
    """What its environment would say."""
    provider = str(providers._base_url).rstrip("/")
    return read(
        Settings,
        {
            "DATABASE_URL": await database_of("notifications"),
            "RABBITMQ_URL": broker_url,
            "AUTH_SERVICE_URL": await serving(auth.application()),
            "AUTH_SERVICE_TOKEN": SERVICE_TOKEN,
            "ORDER_SERVICE_URL": await serving(orders.application()),
            "ORDER_SERVICE_TOKEN": SERVICE_TOKEN,
            "AWS_SES_REGION": "us-east-1",
            "AWS_SES_FROM_EMAIL": "shop@example.com",
            "AWS_ENDPOINT_URL_SESV2": provider,
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "secret",
            "TWILIO_FROM_NUMBER": "+15550001234",
            "TWILIO_BASE_URL": provider,
            "NOTIFICATION_RETRY_DELAYS": LADDER,
            "SHOPFLOW_ENV": "test",
        },
    )


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """Our own connection to the broker."""
    async with await aio_pika.connect(settings.rabbitmq_url) as connection:
        yield await connection.channel()


@pytest.fixture
async def shop(
    *,
    settings: Settings,
    broker: aio_pika.abc.AbstractChannel,
    auth: Auth,
    orders: Orders,
    providers: aiohttp.ClientSession,
    serving: Serve,
    http: aiohttp.ClientSession,
) -> Shop:
    """A notification-service that is consuming."""
    url = await serving(build(settings))
    shop = Shop(url, settings.database_url, broker, auth, orders, providers, http)
    await shop.until_consuming()
    return shop
