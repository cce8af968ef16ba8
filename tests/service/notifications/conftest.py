"""notification-service as production builds it: real HTTP, PostgreSQL, RabbitMQ and provider clients. Only the wires'
other ends are ours: the sandbox for the providers, small applications for the neighbours.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import aio_pika
import aiohttp
import pytest
from tests.service.notifications.neighbours import SERVICE_TOKEN, Auth, Orders
from tests.service.notifications.shop import Service, Shop

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
async def alone(database_of: MakeDatabase, auth: Auth, serving: Serve) -> Settings:
    """Settings with a database and an auth-service only: what reading needs."""
    return read(
        Settings,
        {
            "DATABASE_URL": await database_of("notifications"),
            "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:9/",
            "AUTH_SERVICE_URL": await serving(auth.application()),
            "AUTH_SERVICE_TOKEN": SERVICE_TOKEN,
            "ORDER_SERVICE_URL": "http://127.0.0.1:9",
            "ORDER_SERVICE_TOKEN": SERVICE_TOKEN,
            "AWS_SES_REGION": "us-east-1",
            "AWS_SES_FROM_EMAIL": "shop@example.com",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "secret",
            "TWILIO_FROM_NUMBER": "+15550001234",
            "NOTIFICATION_RETRY_DELAYS": LADDER,
            "NOTIFICATION_REPLAY_INTERVAL": "0",
            "NOTIFICATION_CHANNEL_PAUSE": "0.05",
            "SHOPFLOW_ENV": "test",
        },
    )


@pytest.fixture
async def service(alone: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession) -> Service:
    """A notification-service that has nothing to consume from."""
    return Service(await serving(build(alone)), alone.database_url, auth, http)


@pytest.fixture
async def settings(
    alone: Settings, broker_url: str, providers: aiohttp.ClientSession, orders: Orders, serving: Serve
) -> Settings:
    """Settings of a service that has everything."""
    provider = str(providers._base_url).rstrip("/")
    return replace(
        alone,
        rabbitmq_url=broker_url,
        order_service_url=await serving(orders.application()),
        aws_endpoint_url_sesv2=provider,
        twilio_base_url=provider,
    )


@pytest.fixture
async def broker(broker_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """Our own connection to the broker."""
    async with await aio_pika.connect(broker_url) as connection:
        yield await connection.channel()


@pytest.fixture
def around(
    *,
    settings: Settings,
    broker: aio_pika.abc.AbstractChannel,
    auth: Auth,
    orders: Orders,
    providers: aiohttp.ClientSession,
    http: aiohttp.ClientSession,
) -> Shop:
    """Everything around a notification-service, and none yet."""
    return Shop("", settings.database_url, auth, http, broker, orders, providers)


@pytest.fixture
async def shop(settings: Settings, around: Shop, serving: Serve) -> Shop:
    """A notification-service that is consuming."""
    shop = replace(around, url=await serving(build(settings)))
    await shop.until_consuming()
    return shop
