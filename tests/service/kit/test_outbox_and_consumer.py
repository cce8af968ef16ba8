"""The way of an event: outbox row → relay → broker → consumer, on a real PostgreSQL and a real RabbitMQ."""

import asyncio
import os
import signal
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pamqp.encode
import pytest
import structlog

from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    PAUSE_DELAY,
    SUBSCRIPTIONS,
    consumer_topology,
)
from shopflow.kit.consumer import ATTEMPT, REASON, Consumer, Done, Park, Retry, Verdict, Work
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.postgres import Database
from shopflow.kit.problems import unavailable
from shopflow.kit.rabbitmq.legible import UNREADABLE
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.local.rabbitmq import RabbitMQ

CREATED = SUBSCRIPTIONS[0]
DELAYS = (0.1, 0.2, 0.4)
TOPOLOGY = consumer_topology("quorum", DELAYS)

INSERT = "INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($1, $2, $3, $4, $5)"

CLAIMED = "SELECT count(*) FROM outbox WHERE claimed_by IS NOT NULL"

Handle = Callable[[bytes], Awaitable[Verdict]]
Publish = Callable[[dict[str, Any]], Awaitable[None]]


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("orders"))
    await database.open()
    yield database
    await database.close()


Consume = Callable[[Handle], Awaitable[None]]


@pytest.fixture
async def consume(broker_url: str, publisher: Publisher) -> AsyncIterator[Consume]:
    async with AsyncExitStack() as stack:

        async def start(handle: Handle) -> None:
            work = Work(
                queue=CREATED.queue,
                delays=DELAYS,
                pause=PAUSE_DELAY,
                wait_queue=CREATED.wait_queue,
                parking_exchange=DEAD_LETTER_EXCHANGE,
                parking_key=CREATED.dead_letter_key,
                handle=lambda message: handle(message.body),
            )
            consumer = Consumer(broker_url, works=[work], topology=TOPOLOGY, publisher=publisher, metrics=Metrics())
            await consumer.open()
            stack.push_async_callback(consumer.close)

        yield start


async def write(database: Database, *, subject: UUID | None = None, body: bytes = b"{}") -> UUID:
    event_id = uuid4()
    await database.execute(INSERT, event_id, subject or uuid4(), CREATED.routing_key, body, b'{"traceparent":"x"}')
    return event_id


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def published(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"))


async def taken(url: str, queue: str, number: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        source = await channel.get_queue(queue)
        async with asyncio.timeout(60):
            while len(found) < number:
                message = await source.get(fail=False, no_ack=True)
                if message is None:
                    await asyncio.sleep(0.02)
                else:
                    found.append(message)
    return found


async def test_what_is_written_is_published_persistent_with_its_id_and_headers(
    database: Database, relay: Relay, broker_url: str
) -> None:
    event_id = await write(database, body=b'{"a":1}')
    relay.wake()
    [message] = await taken(broker_url, CREATED.queue, 1)
    assert (message.body, message.message_id) == (b'{"a":1}', str(event_id))
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.headers["traceparent"] == "x"


@pytest.mark.usefixtures("relay")
async def test_what_nobody_woke_the_relay_for_is_swept_up(database: Database) -> None:
    await write(database)
    await until(lambda: _equals(published(database), 1))


async def _equals(value: Awaitable[int], wanted: int) -> bool:
    return await value == wanted


async def test_events_of_one_subject_go_out_in_the_order_they_were_written(
    database: Database, relay: Relay, broker_url: str
) -> None:
    subject = uuid4()
    written = [str(await write(database, subject=subject)) for _ in range(5)]
    relay.wake()
    assert [message.message_id for message in await taken(broker_url, CREATED.queue, 5)] == written


async def test_a_transaction_that_commits_late_is_not_skipped(
    database: Database, relay: Relay, broker_url: str
) -> None:
    async with database.transaction() as late:
        first = uuid4()
        await late.execute(INSERT, first, uuid4(), CREATED.routing_key, b"{}", b"{}")
        second = await write(database)
        relay.wake()
        assert [each.message_id for each in await taken(broker_url, CREATED.queue, 1)] == [str(second)]
    relay.wake()
    assert [each.message_id for each in await taken(broker_url, CREATED.queue, 1)] == [str(first)]


async def test_two_relays_publish_each_event_once(
    database: Database, relay: Relay, publisher: Publisher, broker_url: str
) -> None:
    other = Relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=Metrics())
    await other.open()
    written = {str(await write(database)) for _ in range(50)}
    relay.wake()
    other.wake()
    messages = await taken(broker_url, CREATED.queue, 50)
    await other.close()
    assert sorted(each.message_id or "" for each in messages) == sorted(written)
    await until(lambda: _equals(published(database), 50))


async def test_an_event_that_cannot_be_sent_holds_up_no_other(database: Database, relay: Relay) -> None:
    await database.execute(INSERT, uuid4(), uuid4(), CREATED.routing_key, b"{}", b'{"traceparent": 1}')
    await write(database)
    relay.wake()
    await until(lambda: _equals(published(database), 1))


async def test_a_relay_that_stops_leaves_nothing_claimed(
    database: Database, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    relay = Relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=Metrics())
    await relay.open()
    assert rabbitmq.child is not None
    os.kill(rabbitmq.child.identity.pid, signal.SIGSTOP)  # connected, and confirming nothing
    try:
        await write(database)
        relay.wake()
        await until(lambda: _equals(database.fetchval(CLAIMED), 1))
        await relay.close()
        assert await database.fetchval(CLAIMED) == 0
    finally:
        os.kill(rabbitmq.child.identity.pid, signal.SIGCONT)


@pytest.mark.row("B-3")
async def test_an_unroutable_event_stays_in_the_outbox_until_its_queue_is_back(
    database: Database, relay: Relay, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(CREATED.queue)
    await write(database)
    relay.wake()
    await until(lambda: _equals(published(database), 1))
    assert len(await taken(broker_url, CREATED.queue, 1)) == 1


async def test_with_the_broker_down_events_wait_and_follow_when_it_is_back(
    database: Database, relay: Relay, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    await rabbitmq.stop()
    event_id = await write(database)
    relay.wake()
    assert await published(database) == 0
    await rabbitmq.start()
    [message] = await taken(broker_url, CREATED.queue, 1)
    assert message.message_id == str(event_id)


async def test_a_message_is_retried_along_the_ladder_and_then_parked_unchanged(
    publisher: Publisher, consume: Consume, broker_url: str
) -> None:
    handled: list[bytes] = []

    async def fail(body: bytes) -> Verdict:
        handled.append(body)
        return Retry("still_broken")

    await consume(fail)
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b'{"x": 1}', message_id="m", headers={"own": "h"})
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert len(handled) == 4
    assert (parked.body, parked.routing_key, parked.headers["own"]) == (b'{"x": 1}', "order.created.failed", "h")
    assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("still_broken", 3)


async def test_a_message_that_goes_through_on_a_retry_is_not_parked(publisher: Publisher, consume: Consume) -> None:
    seen = 0
    done = asyncio.Event()

    async def second_time(_: bytes) -> Verdict:
        nonlocal seen
        seen += 1
        if seen == 1:
            raise unavailable("order-service-unavailable", "away")
        done.set()
        return Done()

    await consume(second_time)
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"{}", message_id="m", headers={})
    async with asyncio.timeout(60):
        await done.wait()
    assert seen == 2


async def test_what_no_retry_helps_is_parked_at_once(publisher: Publisher, consume: Consume, broker_url: str) -> None:
    async def park(_: bytes) -> Verdict:
        return Park("order_not_found")

    await consume(park)
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"{}", message_id="m", headers={ATTEMPT: 10**9})
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("order_not_found", 3)


@pytest.fixture
async def foreign(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publishes as other AMQP libraries do, which write numbers as doubles, and bytes as they are."""

    ours = pamqp.encode.encode_table_value

    def theirs(value: Any) -> bytes:
        match value:
            case float():
                return b"d" + struct.pack(">d", value)
            case bytes():
                return value
            case _:
                return ours(value)

    async def publish(headers: dict[str, Any]) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(pamqp.encode, "encode_table_value", theirs)
            async with await aio_pika.connect(broker_url) as connection:
                channel = await connection.channel()
                exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
                await exchange.publish(aio_pika.Message(b"{}", headers=headers), CREATED.routing_key)

    return publish


@pytest.mark.parametrize("unrepeatable", [1e300, "x" * 100_000])
async def test_a_header_that_cannot_be_sent_again_does_not_keep_its_message_from_being_parked(
    consume: Consume, foreign: Publish, broker_url: str, unrepeatable: object
) -> None:
    async def fail(_: bytes) -> Verdict:
        return Retry("still_broken")

    await consume(fail)
    await foreign({"a-weight": unrepeatable, "origin": "elsewhere"})
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert (parked.headers["origin"], parked.headers[REASON]) == ("elsewhere", "still_broken")
    assert "a-weight" not in parked.headers


NEVER = b"T" + struct.pack(">Q", 2**63)  # a time beyond all calendars: our library ends the connection over it


async def test_a_header_that_our_library_cannot_decode_holds_up_nobody(
    publisher: Publisher, consume: Consume, foreign: Publish, broker_url: str
) -> None:
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def park(body: bytes) -> Verdict:
        bodies.put_nowait(body)
        return Park("unreadable") if body == b"{}" else Done()

    await foreign({"at": NEVER, "origin": "elsewhere", ATTEMPT: 1})
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"neighbour", message_id="n", headers={})
    with structlog.testing.capture_logs() as lines:
        await consume(park)
        [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
        assert {await bodies.get(), await bodies.get()} == {b"{}", b"neighbour"}
    assert (parked.body, parked.headers["origin"], parked.headers[ATTEMPT]) == (b"{}", "elsewhere", 1)
    assert b64decode(str(parked.headers[UNREADABLE])).endswith(NEVER)
    assert "broker_lost" not in [line["event"] for line in lines]
    assert "headers_unreadable" in [line["event"] for line in lines]


@pytest.mark.row("B-4")
async def test_consuming_goes_on_after_the_queue_was_deleted_under_it(
    publisher: Publisher, consume: Consume, broker_url: str
) -> None:
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(body: bytes) -> Verdict:
        bodies.put_nowait(body)
        return Done()

    await consume(take)
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"1", message_id="1", headers={})
    assert await asyncio.wait_for(bodies.get(), 60) == b"1"
    async with await aio_pika.connect(broker_url) as connection:
        await (await connection.channel()).queue_delete(CREATED.queue)
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()

        async def consumed_again() -> bool:
            try:
                queue = await (await connection.channel()).get_queue(CREATED.queue)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return False
            return bool(queue.declaration_result.consumer_count)

        await until(consumed_again)
        await channel.default_exchange.publish(aio_pika.Message(b"2"), CREATED.queue)
    assert await asyncio.wait_for(bodies.get(), 60) == b"2"
