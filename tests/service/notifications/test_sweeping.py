"""Work that nobody does any more (C15): it is brought back and sent once, and not brought back beside who does it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.service.notifications.shop import CREATED, Shop, created, until

from shopflow.contracts.identity import Role
from shopflow.contracts.topology import PAUSE_DELAY, consumer_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher
from shopflow.kit.service import Application
from shopflow.notifications import store, unfinished
from shopflow.notifications.app import build
from shopflow.notifications.notification import ChannelName
from shopflow.notifications.original import COPY, Original
from shopflow.notifications.settings import Settings
from shopflow.notifications.store import Event, Fresh
from shopflow.notifications.sweep import SHORT, Sweep
from shopflow.notifications.unfinished import Idle

AFTER = 300.0
SOON = 0.2
BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}
WAITING = CREATED.wait_queue(PAUSE_DELAY)
DOWN: dict[str, Any] = {"mode": "error", "status": 503, "code": "ServiceUnavailable"}

Opened = Callable[..., Awaitable[Shop]]


@asynccontextmanager
async def pool(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """A database that no service works with."""
    async with pool(await database_of("notifications")) as database:
        yield database


@pytest.fixture
async def opened(settings: Settings, around: Shop, serving: Callable[[Application], Awaitable[str]]) -> Opened:
    """Starts a service whose settings differ."""

    async def open_(**changes: Any) -> Shop:
        shop = replace(around, url=await serving(build(replace(settings, **changes))))
        await shop.until_consuming()
        return shop

    return open_


async def record(database: Database) -> UUID:
    """An event with two notifications that nobody has touched for long."""
    event_id = uuid4()
    fresh = [
        Fresh(uuid4(), channel, "order_created", "somebody", None, "Hello", None)
        for channel in (ChannelName.EMAIL, ChannelName.SMS)
    ]
    original = Original(str(event_id), b'{"own": "header", "x-shopflow-attempt": 2}', b"{}")
    event = Event(event_id, "OrderCreated", uuid4(), uuid4(), "notified", b"d", original)
    await store.record(database, event, fresh, lease=30)
    await age(database, 1.5 * AFTER)
    return event_id


async def age(database: Database, seconds: float) -> None:
    """So many seconds go by."""
    await database.execute("UPDATE unfinished SET touched_at = touched_at - make_interval(secs => $1)", seconds)
    await database.execute(
        "UPDATE deliveries SET free_at = free_at - make_interval(secs => $1) WHERE free_at < 'infinity'", seconds
    )


async def sweep(database: Database, *, limit: int = 100) -> Sequence[Idle]:
    return await unfinished.sweep(database, limit=limit, after=AFTER)


async def swept(shop: Shop) -> float:
    """How many events the service has brought back."""
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        [line] = [each for each in (await answer.text()).splitlines() if each.startswith("shopflow_events_swept_total")]
    return float(line.rpartition(" ")[2])


@pytest.mark.row("B-15")
async def test_what_a_deleted_wait_queue_held_reaches_the_customer_once(opened: Opened) -> None:
    """Two instances look after it."""
    shop, other = await opened(sweep_after=SOON), await opened(sweep_after=SOON)
    orders = [shop.order() for _ in range(5)]
    await shop.fail("sms", "throttle")
    for order in orders:
        await shop.publish(created(order))

    async def held() -> bool:
        return await shop.waiting(WAITING) >= 5

    await until(held)
    await shop.broker.queue_delete(WAITING)
    await shop.heal()

    async def sent() -> bool:
        return [await shop.states(order) for order in orders] == [BOTH] * 5

    await until(sent)
    assert await swept(shop) + await swept(other) >= 5
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (5, 5)


async def _waits(shop: Shop) -> bool:
    return (await shop.verdicts()).get("wait", 0) >= 1 and await shop.waiting(WAITING) >= 1


@pytest.mark.row("B-15")
async def test_copies_of_an_event_that_has_to_wait_for_long_become_one(opened: Opened) -> None:
    """Whatever the sweeper makes of it while the channel rests: only the newest copy goes on."""
    shop = await opened(sweep_after=SOON, channel_pause=600.0)
    order = shop.order()
    await shop.fail("sms", "throttle", count=1)
    body = msgspec.json.encode(created(order))
    await shop.publish(body, message_id="m-1", headers={"own": "header"})

    async def piled_up() -> bool:
        return await shop.waiting(WAITING) >= 4

    await until(piled_up)
    copies = await shop.taken(WAITING, 4)
    assert [each.headers.get(COPY) for each in copies] == [None, 1, 2, 3]
    assert {(each.body, each.message_id, each.headers["own"]) for each in copies} == {(body, "m-1", "header")}
    before = await shop.verdicts()
    for each in copies[:3]:
        await shop.publish(each.body, headers=each.headers, message_id=each.message_id)

    async def dropped() -> bool:
        return (await shop.verdicts()).get("done", 0) == 3

    assert "done" not in before
    await until(dropped)
    assert await shop.states(order) == BOTH | {"order_created.sms": "queued"}
    assert (await shop.requests("sms"), len(await shop.messages("email"))) == (1, 1)


async def test_a_copy_that_goes_round_is_a_sign_of_work(shop: Shop) -> None:
    await shop.fail("sms", "throttle")
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(wait=1)
    await shop.rows("UPDATE unfinished SET touched_at = '-infinity'")
    await shop.hasten()
    await shop.until_verdicts(wait=2)
    await shop.rows("UPDATE deliveries SET free_at = '-infinity' WHERE free_at < 'infinity'")
    async with pool(shop.database) as its:
        assert await sweep(its) == []
        await age(its, 2 * AFTER)
        assert [each.copy for each in await sweep(its)] == [1]


@pytest.mark.row("B-15")
async def test_several_who_sweep_at_once_share_what_there_is(database: Database) -> None:
    events = {await record(database) for _ in range(30)}
    batches = await asyncio.gather(*(sweep(database, limit=8) for _ in range(5)))
    found = [each.event_id for batch in batches for each in batch]
    assert (len(found), set(found) <= events) == (len(set(found)), True)
    found += [each.event_id for each in await sweep(database)]
    assert sorted(found) == sorted(events)
    assert await sweep(database) == []


async def test_what_is_brought_back_is_the_message_as_it_was(database: Database) -> None:
    event_id = await record(database)
    [idle] = await sweep(database)
    assert (idle.event_id, idle.event_type, idle.message_id) == (event_id, "OrderCreated", str(event_id))
    assert (idle.body, msgspec.json.decode(idle.headers)["own"], idle.copy) == (b"{}", "header", 1)


PARKED = """
    INSERT INTO dead_letters (id, routing_key, message_id, digest, reason, attempts, event_id, order_id, headers, body)
    SELECT event_id, 'order.created.failed', 'm', digest, 'crash_loop', 4, event_id, order_id, '{}', '' FROM inbox
"""
ONE_CLAIM = """
    UPDATE deliveries SET free_at = now() + interval '30 seconds'
    WHERE notification_id = (SELECT id FROM notifications WHERE channel = 'sms')
"""
ONE_FINAL = ONE_CLAIM.replace("now() + interval '30 seconds'", "'infinity'")
LEFT_ALONE = {
    "a claim that holds": ["UPDATE deliveries SET free_at = now() + interval '30 seconds'"],
    "a claim on one channel": [ONE_CLAIM],
    "a rest": ["UPDATE deliveries SET free_at = now() + interval '1 hour'"],
    "an attempt a minute ago": ["UPDATE deliveries SET free_at = now() - interval '1 minute'"],
    "a copy that was just here": ["UPDATE unfinished SET touched_at = now()"],
    "all is final": ["UPDATE deliveries SET free_at = 'infinity'"],
    "parked": [PARKED],
    "discarded": [PARKED, "UPDATE dead_letters SET state = 'discarded'"],
}


@pytest.mark.parametrize("changes", LEFT_ALONE.values(), ids=LEFT_ALONE)
async def test_what_somebody_works_on_or_has_decided_is_left_alone(database: Database, changes: list[str]) -> None:
    await record(database)
    for statement in changes:
        await database.execute(statement)
    assert await sweep(database) == []


NOT_IN_THE_WAY = {
    "one channel is final": [ONE_FINAL],
    "it was replayed": [PARKED, "UPDATE dead_letters SET state = 'replayed'"],
    "a stranger's message that names the event is parked": [PARKED, "UPDATE dead_letters SET digest = 'another'"],
}


@pytest.mark.parametrize("changes", NOT_IN_THE_WAY.values(), ids=NOT_IN_THE_WAY)
async def test_what_is_in_nobodys_hands_is_brought_back(database: Database, changes: list[str]) -> None:
    event_id = await record(database)
    for statement in changes:
        await database.execute(statement)
    assert [each.event_id for each in await sweep(database)] == [event_id]


async def test_a_copy_that_nobody_ever_sees_is_followed_by_another_ever_later(database: Database) -> None:
    await record(database)
    for number in range(1, 10):
        [idle] = await sweep(database)
        assert idle.copy == number
        patience = AFTER * 2 ** min(number, unfinished.MOST_DOUBLED)
        await age(database, 0.9 * patience)
        assert await sweep(database) == []
        await age(database, 0.2 * patience)


async def test_a_copy_that_was_seen_begins_anew_and_older_ones_are_left_over(database: Database) -> None:
    event_id = await record(database)
    original = Original("m", b"{}", b"{}")
    for _ in range(3):
        await age(database, 64 * AFTER)
        await sweep(database)
    assert await unfinished.goes_on(database, event_id, msgspec.structs.replace(original, copy=2))
    assert await unfinished.goes_on(database, event_id, msgspec.structs.replace(original, copy=2))
    assert not await unfinished.goes_on(database, event_id, original)
    assert await unfinished.goes_on(database, event_id, msgspec.structs.replace(original, copy=2**31 - 1))
    assert not await unfinished.goes_on(database, event_id, msgspec.structs.replace(original, copy=2))
    await age(database, 1.1 * AFTER)
    assert [each.copy for each in await sweep(database)] == [4]


async def test_what_is_final_is_forgotten_and_what_is_not_is_kept(database: Database) -> None:
    done = await record(database)
    await database.execute("UPDATE deliveries SET free_at = 'infinity'")
    kept = await record(database)
    await database.execute(unfinished.FORGET)
    assert [row["event_id"] for row in await database.fetch("SELECT event_id FROM unfinished")] == [kept]
    assert await database.fetchval("SELECT count(*) FROM inbox WHERE event_id = $1", done) == 1


async def test_a_replay_that_is_lost_is_brought_back_too(shop: Shop) -> None:
    """All had failed, so that its bytes were forgotten; the replay keeps them again."""
    await shop.fail("email", **DOWN)
    await shop.publish(created(shop.order()))

    async def parked() -> bool:
        return len(await shop.rows("SELECT FROM dead_letters")) == 1

    await until(parked)
    await shop.rows("DELETE FROM unfinished")
    await shop.heal()
    await shop.fail("email", "throttle")
    headers = {"Authorization": f"Bearer {shop.auth.token(Role.ADMIN)}"}
    path = "/notifications/dead-letters/replay"
    async with shop.http.post(shop.url + path, json={"filter": {}}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    await until(lambda: _waits(shop))
    await shop.broker.queue_delete(WAITING)
    async with pool(shop.database) as its:
        await age(its, 2 * AFTER)
        [idle] = await sweep(its)
    assert msgspec.json.decode(idle.body)["event_type"] == "OrderCreated"


class Calm:
    """A broker at the edge of the sweeper: it says how long the queues are, keeps what comes, and time passes."""

    def __init__(self) -> None:
        self.length = 0
        self.away = False
        self.kept: list[tuple[str, str, Any]] = []
        self.now = 1000.0

    async def waiting(self, _: str) -> int:
        if self.away:
            raise BrokerUnavailable("away")
        return self.length

    async def publish(
        self, exchange: str, key: str, body: bytes, *, message_id: str, headers: dict[str, object]
    ) -> None:
        assert (exchange, body) == ("", b"{}")
        self.kept.append((key, message_id, headers))

    def __call__(self) -> float:
        return self.now


async def test_nothing_is_brought_back_before_it_was_calm_for_as_long_as_it_lay_idle(database: Database) -> None:
    event_id = await record(database)
    metrics, calm = Metrics(), Calm()
    sweep = Sweep(database, calm, metrics=metrics, after=AFTER, clock=calm)

    async def looked(after: float) -> int:
        calm.now += after
        await sweep.look()
        return len(calm.kept)

    assert await looked(10_000) == 0
    assert await looked(AFTER - 1) == 0
    calm.length = SHORT + 1
    assert await looked(1) == 0
    calm.length = SHORT
    assert await looked(1) == 0
    assert await looked(AFTER - 1) == 0
    assert await looked(1) == 1
    assert calm.kept == [(CREATED.queue, str(event_id), {"own": "header", COPY: 1})]
    assert await looked(AFTER) == 1


async def test_a_sweep_ends_at_whatever_moment_it_is_stopped(database: Database, broker_url: str) -> None:
    topology = consumer_topology("quorum")
    publisher = Publisher(broker_url, name="test", topology=topology, metrics=Metrics())
    await publisher.open()
    await publisher.wait_up()
    async with asyncio.timeout(60):
        for turn in range(60):
            sweep = Sweep(database, publisher, metrics=Metrics(), after=0.0001)
            await sweep.open()
            await asyncio.sleep(0.002 + turn * 0.0003)  # a cancellation meets a channel being closed
            await sweep.close()
    await publisher.close()
