"""Real servers for every tier: PostgreSQL and RabbitMQ of the run's own, a fresh database per test, HTTP."""

import functools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from shutil import disk_usage
from uuid import uuid4

import aio_pika
import aiohttp
import asyncpg
import botocore.session
import hypothesis
import pytest
import structlog
from tests.canary import Canary, listening, watched
from tests.valkey_server import ValkeyServer, valkey_server

from shopflow.contracts.topology import EVENTS_EXCHANGE, RETRY_DELAYS, consumer_topology
from shopflow.kit.migrations import migrate
from shopflow.kit.server import running
from shopflow.kit.service import Application
from shopflow.local import postgres as embedded_postgres
from shopflow.local import rabbitmq as embedded_rabbitmq
from shopflow.local.ports import free_port

ROOT = Path(__file__).parents[1]
PASSWORD = "only-for-tests"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of the run's own is made in it
ROOM = 4 * 1024**3
WHOLE_PLATFORMS = {"system", "chaos"}

MakeDatabase = Callable[[str], Awaitable[str]]
Serve = Callable[[Application], Awaitable[str]]

# How long an example takes says more about the machine than about us; a run is no throw of dice, so that what is green
# here is green elsewhere.
hypothesis.settings.register_profile(
    "shopflow", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shopflow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole platforms come first, then the files with most tests: at the end no process waits for the last long one."""
    tests = Counter(each.path for each in items)
    items.sort(key=lambda each: (not WHOLE_PLATFORMS & set(each.path.parts), -tests[each.path]))


@pytest.fixture(autouse=True)
def canary(caplog: pytest.LogCaptureFixture) -> Iterator[Canary]:
    """Hears what the test's services say, and at the end of the test none of it may hold a secret."""
    watching = Canary()
    structlog.configure(wrapper_class=listening(watching))
    yield watching
    for record in caplog.get_records("call"):
        watching.see("log", record.getMessage())
    assert watching.leaks() == []


@pytest.fixture(scope="session", autouse=True)
def _aws_is_described_once() -> Iterator[None]:
    """The SDK reads its description of AWS, a fifth of a second, for every session; a run opens hundreds."""
    with pytest.MonkeyPatch.context() as patched:
        once = functools.cache(botocore.session.create_loader)
        patched.setattr(botocore.session, "create_loader", once)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


def in_memory() -> Path | None:
    """A folder in memory with room for a server's data, if there is one: a database a test is 300 files a test."""
    has_room = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and disk_usage(IN_MEMORY).free > ROOM
    return IN_MEMORY if has_room else None


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[embedded_postgres.PostgreSQL]:
    """A PostgreSQL server for the run; `SHOPFLOW_TEST_POSTGRES_BIN` names the programs of another version."""
    named = os.environ.get("SHOPFLOW_TEST_POSTGRES_BIN")
    by_hand = {"autovacuum": "off"}  # it would count rows anew, and plans with them, in the middle of a test
    binaries = Path(named) if named else None
    async with embedded_postgres.throwaway(binaries=binaries, options=by_hand, within=in_memory()) as server:
        yield server


@pytest.fixture(scope="session")
async def superuser(postgres: embedded_postgres.PostgreSQL) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may create and drop databases."""
    connection = await asyncpg.connect(postgres.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(postgres: embedded_postgres.PostgreSQL) -> Callable[[str], Awaitable[str]]:
    """Makes the migrated template database of a service once a run; answers its name."""
    made: dict[str, str] = {}

    async def make(service: str) -> str:
        if service not in made:
            url = await postgres.ensure_database(f"{service}_template", password=PASSWORD)
            await migrate(url, ROOT / "src" / "shopflow" / service / "schema")
            made[service] = f"{service}_template"
        return made[service]

    return make


@pytest.fixture
async def database_of(
    postgres: embedded_postgres.PostgreSQL,
    superuser: asyncpg.Connection,
    template: Callable[[str], Awaitable[str]],
    canary: Canary,
) -> AsyncIterator[MakeDatabase]:
    """Makes a fresh migrated database of a service, dropped after the test; answers its URL.

    Before it is dropped, the canary looks into it.
    """
    made: dict[str, str] = {}

    async def make(service: str) -> str:
        owner = await template(service)
        name = f"{service}_{uuid4().hex[:12]}"
        await superuser.execute(f'CREATE DATABASE "{name}" TEMPLATE "{owner}" OWNER "{owner}"')
        made[name] = postgres.url(name, user=owner, password=PASSWORD)
        return made[name]

    yield make
    leaks: list[str] = []
    for name, url in made.items():
        await superuser.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1')
        leaks += await canary.look_into(url)
        await superuser.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    assert leaks == []


@pytest.fixture(scope="session")
async def rabbitmq_of_the_run() -> AsyncIterator[embedded_rabbitmq.RabbitMQ]:
    """A RabbitMQ server for the run."""
    async with embedded_rabbitmq.throwaway() as server:
        yield server


@pytest.fixture
def rabbitmq(rabbitmq_of_the_run: embedded_rabbitmq.RabbitMQ) -> embedded_rabbitmq.RabbitMQ:
    """The server itself, for who stops it or holds it: such a test is on this one, whichever broker is named."""
    return rabbitmq_of_the_run


@pytest.fixture(scope="session")
async def named_broker() -> AsyncIterator[str | None]:
    """The broker that `SHOPFLOW_TEST_RABBITMQ_URL` names; nothing of ours may be there before, nor is it afterwards."""
    named = os.environ.get("SHOPFLOW_TEST_RABBITMQ_URL")
    if named is not None:
        assert not await _is_used(named), "a shop uses that virtual host: give the tests one of their own"
    yield named
    if named is not None:
        await _empty(named)


@pytest.fixture
async def broker_url(
    request: pytest.FixtureRequest, rabbitmq_of_the_run: embedded_rabbitmq.RabbitMQ, named_broker: str | None
) -> str:
    """The broker, empty before the test. What the test leaves is for the next: its services may still be stopping."""
    url = rabbitmq_of_the_run.url if named_broker is None or "rabbitmq" in request.fixturenames else named_broker
    await _empty(url)
    return url


async def _is_used(url: str) -> bool:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        try:
            await channel.get_exchange(EVENTS_EXCHANGE, ensure=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
        return True


async def _empty(url: str) -> None:
    topology = consumer_topology("quorum", (*RETRY_DELAYS, *TEST_DELAYS))
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for queue in topology.queues:
            await channel.queue_delete(queue.name)
        for exchange in topology.exchanges:
            await channel.exchange_delete(exchange.name)


TEST_DELAYS = (0.1, 0.2, 0.4)
"""A retry ladder that tests need not wait for."""


@pytest.fixture(scope="session")
async def valkey_of_the_run() -> AsyncIterator[ValkeyServer]:
    """A Valkey server for the run."""
    async with valkey_server() as server:
        yield server


@pytest.fixture
async def valkey_url(valkey_of_the_run: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of counts, empty, and with room for a machine that stands still for a second."""
    for name in ("DEADLINE", "PATIENCE"):
        monkeypatch.setattr(f"shopflow.kit.rate_limits.shared.{name}", 30.0)
    async with valkey_of_the_run.client() as client:
        await client.flushall()
    return valkey_of_the_run.url


@pytest.fixture
async def serving(canary: Canary) -> AsyncIterator[Serve]:
    """Serves applications on free ports for as long as the test lasts; answers their base URLs."""
    async with AsyncExitStack() as stack:

        async def serve(application: Application) -> str:
            port = free_port()
            await stack.enter_async_context(running(watched(application, canary), host="127.0.0.1", port=port))
            return f"http://127.0.0.1:{port}"

        yield serve


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps no cookies and follows no redirects by itself."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on this machine must not decide a test."""
    for name in [*os.environ]:
        if name.startswith(("DATABASE_URL", "RABBITMQ_URL", "SHOPFLOW_", "AWS_", "TWILIO_", "JWT_SECRET")) and not (
            name.startswith("SHOPFLOW_TEST_")
        ):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _patience_with_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for a machine that stands still for a second: here the neighbours answer from the test's own process."""
    monkeypatch.setattr("shopflow.kit.peer.DEADLINE", 30.0)
    monkeypatch.setattr("shopflow.kit.peer._TIMEOUTS", aiohttp.ClientTimeout(total=None, sock_connect=30))
