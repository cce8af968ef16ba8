"""Relays that die, freeze, and work side by side: every event goes out, in the order of its subject (C1 to C3)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest

from shopflow.contracts.topology import EVENTS_EXCHANGE, SUBSCRIPTIONS, events_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher

CREATED = SUBSCRIPTIONS[0]
LEASE = 1.0

INSERT = "INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($1, $2, $3, $4, $5)"
PUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"
ROW = "SELECT published_at, claimed_by, claimed_until FROM outbox WHERE event_id = $1"


class Held(Publisher):
    """Stops where it is told to, before or after the broker has the message, as a process does that is frozen there."""

    def __init__(self, url: str, *, before: bool) -> None:
        super().__init__(url, name="held", topology=events_topology("quorum"), metrics=Metrics())
        self.before = before
        self.reached = asyncio.Event()
        self.thawed = asyncio.Event()

    async def publish(
        self, exchange: str, key: str, body: bytes, *, message_id: str, headers: Mapping[str, Any]
    ) -> None:
        if not self.before:
            await super().publish(exchange, key, body, message_id=message_id, headers=headers)
        self.reached.set()
        await self.thawed.wait()
        if self.before:
            await super().publish(exchange, key, body, message_id=message_id, headers=headers)


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shopflow.kit.outbox.LEASE", LEASE)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("orders"))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker_url, name="test", topology=events_topology("quorum"), metrics=Metrics())
    await publisher.open()
    await publisher.wait_up()
    yield publisher
    await publisher.close()


@pytest.fixture
async def relaying(database: Database) -> AsyncIterator[Callable[[Publisher], Awaitable[Relay]]]:
    async with AsyncExitStack() as stack:

        async def start(publisher: Publisher) -> Relay:
            relay = Relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=Metrics())
            await relay.open()
            stack.push_async_callback(relay.close)
            return relay

        yield start


@pytest.fixture
async def hold(broker_url: str) -> AsyncIterator[Callable[..., Awaitable[Held]]]:
    async with AsyncExitStack() as stack:

        async def start(*, before: bool) -> Held:
            held = Held(broker_url, before=before)
            await held.open()
            await held.wait_up()
            stack.push_async_callback(held.close)
            return held

        yield start


Relaying = Callable[[Publisher], Awaitable[Relay]]
Hold = Callable[..., Awaitable[Held]]


async def write(database: Database, subject: UUID) -> str:
    event_id = uuid4()
    await database.execute(INSERT, event_id, subject, CREATED.routing_key, b"{}", b"{}")
    return str(event_id)


async def kill(relay: Relay) -> None:
    """As the end of its process: nothing is settled, nothing is handed back."""
    assert relay._task is not None
    relay._task.cancel()
    await asyncio.wait([relay._task])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def _published(database: Database, number: int) -> bool:
    return int(await database.fetchval(PUBLISHED)) == number


async def everything(url: str) -> list[str]:
    """The ids of all messages of the queue, in order."""
    found: list[str] = []
    async with await aio_pika.connect(url) as connection:
        source = await (await connection.channel()).get_queue(CREATED.queue)
        while message := await source.get(fail=False, no_ack=True):
            found.append(message.message_id or "")
    return found


@pytest.mark.row("K3")
async def test_what_a_dead_relay_claimed_is_published_by_another_once_its_lease_is_over(
    database: Database, publisher: Publisher, relaying: Relaying, hold: Hold, broker_url: str
) -> None:
    held = await hold(before=True)
    dead = await relaying(held)
    event_id = await write(database, uuid4())
    dead.wake()
    await held.reached.wait()
    await kill(dead)
    await relaying(publisher)
    await until(lambda: _published(database, 1))
    assert await everything(broker_url) == [event_id]


@pytest.mark.row("K4", "K5", "B-9")
async def test_what_a_relay_published_and_did_not_mark_goes_out_again_under_the_same_id(
    database: Database, publisher: Publisher, relaying: Relaying, hold: Hold, broker_url: str
) -> None:
    held = await hold(before=False)
    dead = await relaying(held)
    event_id = await write(database, uuid4())
    dead.wake()
    await held.reached.wait()
    await kill(dead)
    await relaying(publisher)
    await until(lambda: _published(database, 1))
    assert await everything(broker_url) == [event_id, event_id]


@pytest.mark.row("K21")
async def test_a_relay_that_wakes_after_its_lease_changes_nothing_that_another_has_done(
    database: Database, publisher: Publisher, relaying: Relaying, hold: Hold, broker_url: str
) -> None:
    held = await hold(before=True)
    frozen = await relaying(held)
    subject = uuid4()
    first, second = await write(database, subject), await write(database, subject)
    frozen.wake()
    await held.reached.wait()
    await relaying(publisher)
    await until(lambda: _published(database, 2))
    marked = [await database.fetchrow(ROW, UUID(each)) for each in (first, second)]
    assert await everything(broker_url) == [first, second]
    held.thawed.set()
    await until(lambda: _holds_one(broker_url))
    await write(database, uuid4())
    await until(lambda: _published(database, 3))  # the one that woke goes on as if nothing had been
    assert [await database.fetchrow(ROW, UUID(each)) for each in (first, second)] == marked


async def _holds_one(url: str) -> bool:
    return bool(await everything(url))


@pytest.mark.row("K3")
async def test_three_relays_of_which_one_dies_again_and_again_publish_all_in_the_order_of_each_subject(
    database: Database, publisher: Publisher, relaying: Relaying, broker_url: str
) -> None:
    dice = Random(4)  # noqa: S311 - a seed repeats a run
    relays = [await relaying(publisher) for _ in range(3)]
    subjects = [uuid4() for _ in range(20)]
    written: dict[UUID, list[str]] = {subject: [] for subject in subjects}
    for turn in range(120):
        subject = dice.choice(subjects)
        written[subject].append(await write(database, subject))
        dice.choice(relays).wake()
        if turn % 20 == 10:
            dying = dice.randrange(3)
            await kill(relays[dying])
            relays[dying] = await relaying(publisher)
    await until(lambda: _published(database, 120))
    first_seen = list(dict.fromkeys(await everything(broker_url)))
    assert sorted(first_seen) == sorted(each for ids in written.values() for each in ids)
    for ids in written.values():
        assert [each for each in first_seen if each in ids] == ids


async def test_transactions_that_commit_in_any_order_leave_no_gap(
    database: Database, publisher: Publisher, relaying: Relaying, broker_url: str
) -> None:
    relay = await relaying(publisher)
    may_commit = [asyncio.Event() for _ in range(8)]
    begun: asyncio.Queue[str] = asyncio.Queue()

    async def transaction(number: int) -> None:
        async with database.transaction() as connection:
            event_id = uuid4()
            await connection.execute(INSERT, event_id, uuid4(), CREATED.routing_key, b"{}", b"{}")
            begun.put_nowait(str(event_id))
            await may_commit[number].wait()

    tasks = [asyncio.create_task(transaction(number)) for number in range(8)]
    written = {await begun.get() for _ in range(8)}
    for done, number in enumerate([5, 2, 7, 0, 6, 1, 4, 3]):
        may_commit[number].set()
        await tasks[number]
        relay.wake()
        await until(partial(_published, database, done + 1))
    assert set(await everything(broker_url)) == written
