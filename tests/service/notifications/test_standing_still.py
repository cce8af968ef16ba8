"""A process that stood still after it claimed (K20): before it sends it makes sure that the claim is still its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import aiohttp
import pytest

from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.notifications import store
from shopflow.notifications.channels import Channel, twilio
from shopflow.notifications.channels.gate import Gate
from shopflow.notifications.deliver import LEASE, Deliver
from shopflow.notifications.notification import ChannelName, Progress
from shopflow.notifications.original import Original
from shopflow.notifications.store import Event, Fresh, Recorded

pytestmark = pytest.mark.row("K20")

EVENT = uuid4()
ORIGINAL = Original("m", b"{}", b"{}")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("notifications"))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def sms(providers: aiohttp.ClientSession) -> AsyncIterator[Channel]:
    url = str(providers._base_url).rstrip("/")
    async with twilio.opened(
        account_sid="AC" + "0" * 32, auth_token="secret", from_number="+15550001234", base_url=url
    ) as channel:
        yield channel


@pytest.fixture
async def queued(database: Database) -> Recorded:
    fresh = Fresh(uuid4(), ChannelName.SMS, "order_created", "+15551234567", None, "Hello", None)
    event = Event(EVENT, "OrderCreated", uuid4(), uuid4(), "notified", b"d", ORIGINAL)
    await store.record(database, event, [fresh], lease=LEASE)
    return await read(database)


async def read(database: Database, event_id: UUID = EVENT) -> Recorded:
    found = await store.received(database, event_id)
    assert found is not None
    [notification] = found.notifications
    return notification


async def stood_still(
    database: Database, sms: Channel, queued: Recorded, *, seconds: float
) -> tuple[Progress, Deliver, Gate]:
    """A delivery whose process stands still for so long between its claim's statement and the answer to it."""
    clock, metrics = Clock(), Metrics()
    gate = Gate("sms", metrics=metrics)
    deliver = Deliver(database, {ChannelName.SMS: sms}, gates={ChannelName.SMS: gate}, metrics=metrics, clock=clock)
    async with database.transaction() as holding:
        await holding.execute("SELECT FROM deliveries WHERE notification_id = $1 FOR UPDATE", queued.id)
        task = asyncio.create_task(deliver.deliver(queued))
        while not await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        clock.now += seconds
    return (await task).progress, deliver, gate


async def requests(providers: aiohttp.ClientSession) -> int:
    async with providers.get("/requests") as answer:
        return int((await answer.json())["sms"]["requests"])


@pytest.mark.parametrize("seconds", [LEASE - 9, LEASE + 15, 3600])
async def test_who_stood_still_for_too_long_sends_nothing_and_counts_nothing(
    database: Database, sms: Channel, queued: Recorded, providers: aiohttp.ClientSession, seconds: float
) -> None:
    progress, deliver, gate = await stood_still(database, sms, queued, seconds=seconds)
    assert progress is Progress.WAIT
    assert await requests(providers) == 0
    [attempt] = await database.fetch("SELECT outcome, ended_at IS NOT NULL AS ended FROM attempts")
    assert (attempt["outcome"], attempt["ended"]) == ("late", True)
    assert await gate.answers()
    again = await read(database)
    assert (again.in_doubt, again.exhausted) == (False, False)
    assert (await deliver.deliver(again)).progress is Progress.SETTLED
    assert await requests(providers) == 1


async def test_who_stood_still_for_a_moment_sends(
    database: Database, sms: Channel, queued: Recorded, providers: aiohttp.ClientSession
) -> None:
    progress, _, _ = await stood_still(database, sms, queued, seconds=15)
    assert progress is Progress.SETTLED
    assert await requests(providers) == 1
