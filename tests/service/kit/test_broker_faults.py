"""What a broker and its administrators can do to a relay and a consumer: nothing is lost, and everything goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import pairwise
from time import monotonic
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aio_pika
import pytest
import structlog

from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    PAUSE_DELAY,
    RETRY_DELAYS,
    SUBSCRIPTIONS,
    Queue,
    consumer_topology,
)
from shopflow.kit import consumer as consuming
from shopflow.kit.consumer import ATTEMPT, REASON, Consumer, Done, Park, Retry, Verdict, Work
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher
from shopflow.local import rabbitmq as embedded_rabbitmq
from shopflow.local.rabbitmq import RabbitMQ

CREATED = SUBSCRIPTIONS[0]
DELAYS = (0.1, 0.2, 0.4)
TOPOLOGY = consumer_topology("quorum", DELAYS)
SHORTEST_ACK_TIMEOUT = 60.0
ALARM = "vm_memory_high_watermark.absolute = 1MB\n"

INSERT = "INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($1, $2, $3, $4, $5)"

Arguments = Mapping[str, str | int]
Handle = Callable[[bytes], Awaitable[Verdict]]
Consume = Callable[..., Awaitable[Consumer]]


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("orders"))
    await database.open()
    yield database
    await database.close()


def make_consumer(
    url: str,
    publisher: Publisher,
    handle: Handle,
    *,
    delays: tuple[float, ...] = DELAYS,
    metrics: Metrics | None = None,
) -> Consumer:
    work = Work(
        queue=CREATED.queue,
        delays=delays,
        pause=PAUSE_DELAY,
        wait_queue=CREATED.wait_queue,
        parking_exchange=DEAD_LETTER_EXCHANGE,
        parking_key=CREATED.dead_letter_key,
        handle=lambda message: handle(message.body),
    )
    topology = consumer_topology("quorum", delays)
    return Consumer(url, works=[work], topology=topology, publisher=publisher, metrics=metrics or Metrics())


@pytest.fixture
async def consume(broker_url: str, publisher: Publisher) -> AsyncIterator[Consume]:
    async with AsyncExitStack() as stack:

        async def start(
            handle: Handle, *, delays: tuple[float, ...] = DELAYS, metrics: Metrics | None = None
        ) -> Consumer:
            consumer = make_consumer(broker_url, publisher, handle, delays=delays, metrics=metrics)
            await consumer.open()
            stack.push_async_callback(consumer.close)
            return consumer

        yield start


async def write(database: Database, *, subject: UUID | None = None) -> UUID:
    event_id = uuid4()
    await database.execute(INSERT, event_id, subject or uuid4(), CREATED.routing_key, b"{}", b"{}")
    return event_id


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await condition():
            await asyncio.sleep(0.02)


async def _equals(value: Awaitable[object], wanted: object) -> bool:
    return await value == wanted


async def published(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"))


async def depth(url: str, queue: str) -> int:
    async with await aio_pika.connect(url) as connection:
        found = await (await connection.channel()).get_queue(queue)
        return int(found.declaration_result.message_count or 0)


async def taken(url: str, queue: str, number: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with await aio_pika.connect(url) as connection:
        source = await (await connection.channel()).get_queue(queue)
        async with asyncio.timeout(90):
            while len(found) < number:
                message = await source.get(fail=False, no_ack=True)
                if message is None:
                    await asyncio.sleep(0.02)
                else:
                    found.append(message)
    return found


async def send(publisher: Publisher, body: bytes, **headers: object) -> None:
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, body, message_id=body.decode(), headers=headers)


async def counting(seen: list[bytes]) -> Handle:
    async def handle(body: bytes) -> Verdict:
        seen.append(body)
        return Done()

    return handle


@pytest.mark.row("B-5")
async def test_an_event_stays_in_the_outbox_until_the_exchange_is_back(
    database: Database, relay: Relay, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        await (await connection.channel()).exchange_delete(EVENTS_EXCHANGE)
    await write(database)
    relay.wake()
    await until(lambda: _equals(published(database), 1))
    assert len(await taken(broker_url, CREATED.queue, 1)) == 1


@pytest.mark.row("B-6")
@pytest.mark.usefixtures("relay")
async def test_during_an_alarm_events_wait_and_the_consumer_goes_on(
    database: Database, publisher: Publisher, consume: Consume, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await send(publisher, f"before-{number}".encode())
    with monkeypatch.context() as alarmed:
        alarmed.setattr(embedded_rabbitmq, "CONFIGURATION", embedded_rabbitmq.CONFIGURATION + ALARM)
        await rabbitmq.stop()
        await rabbitmq.start()
    seen: list[bytes] = []
    consumer = await consume(await counting(seen))
    await until(lambda: _equals(_size(seen), 20))
    await write(database)
    await until(lambda: _refused(publisher))
    assert (await publisher.answers(), await consumer.answers()) == (False, False)
    assert await published(database) == 0
    await rabbitmq.stop()
    await rabbitmq.start()
    await until(lambda: _equals(published(database), 1))
    await until(lambda: _equals(publisher.answers(), True))


async def _size(seen: list[bytes]) -> int:
    return len(seen)


async def _refused(publisher: Publisher) -> bool:
    await publisher.wait_up()
    try:
        await send(publisher, b"during")
    except BrokerUnavailable as error:
        return str(error) == "blocked"
    return False


@pytest.mark.row("B-7")
async def test_a_channel_that_the_broker_closed_is_made_anew(publisher: Publisher, consume: Consume) -> None:
    seen: list[bytes] = []
    consumer = await consume(await counting(seen))
    await send(publisher, b"before")
    await until(lambda: _equals(_size(seen), 1))
    queue, _ = consumer._subscriber._consumers[0]
    channel = await queue.channel.get_underlay_channel()
    await channel.basic_ack(delivery_tag=4711)  # nobody was given that one: the broker answers 406
    await until(lambda: _differs(consumer, queue))
    await send(publisher, b"after")
    await until(lambda: _equals(_size(seen), 2))


async def _differs(consumer: Consumer, queue: object) -> bool:
    return bool(consumer._subscriber._consumers) and consumer._subscriber._consumers[0][0] is not queue


def before_the_limit(queue: Queue) -> Arguments:
    return {name: value for name, value in queue.arguments.items() if name != "x-delivery-limit"}


def classic(queue: Queue) -> Arguments:
    return dict(next(each for each in consumer_topology("classic", DELAYS).queues if each.name == queue.name).arguments)


def short_lived(queue: Queue) -> Arguments:
    return {"x-message-ttl": 600_000, **queue.arguments}


def of_rabbitmq_4(queue: Queue) -> Arguments:
    return {**queue.arguments, "x-delivery-limit": 20}


@pytest.mark.row("B-12", "B-20")
@pytest.mark.parametrize("arguments", [before_the_limit, classic, short_lived, of_rabbitmq_4])
async def test_queues_that_exist_with_other_arguments_are_used_as_they_are(
    broker_url: str, arguments: Callable[[Queue], Arguments]
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        for queue in TOPOLOGY.queues:
            await channel.declare_queue(queue.name, durable=True, arguments=dict(arguments(queue)))
    handled: list[bytes] = []

    async def fail(body: bytes) -> Verdict:
        handled.append(body)
        return Retry("still_broken")

    publisher = Publisher(broker_url, name="test", topology=TOPOLOGY, metrics=Metrics())
    consumer = make_consumer(broker_url, publisher, fail)
    with structlog.testing.capture_logs() as lines:
        await publisher.open()
        await publisher.wait_up()
    await consumer.open()
    await send(publisher, b"1")
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert (parked.body, handled) == (b"1", [b"1"] * 4)
    assert "queue_differs" in [line["event"] for line in lines]
    await consumer.close()
    await publisher.close()


@pytest.mark.row("B-13")
@pytest.mark.parametrize("missing", ["the queue", "the exchange"])
async def test_what_cannot_be_parked_stays_with_the_broker_until_it_can(
    publisher: Publisher, consume: Consume, broker_url: str, missing: str
) -> None:
    async def park(_: bytes) -> Verdict:
        return Park("order_not_found")

    metrics = Metrics()
    consumer = await consume(park, metrics=metrics)
    await consumer._subscriber.wait_up()
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        if missing == "the queue":
            await channel.queue_delete(DEAD_LETTER_QUEUE)
        else:
            await channel.exchange_delete(DEAD_LETTER_EXCHANGE)
    await send(publisher, b"kept")
    await until(lambda: _exists(broker_url, DEAD_LETTER_QUEUE))
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert (parked.body, parked.headers[REASON]) == (b"kept", "order_not_found")
    name = "shopflow_message_copies_unconfirmed_total"
    assert (metrics.registry.get_sample_value(name, {"queue": CREATED.queue}) or 0) >= 1


async def _exists(url: str, queue: str) -> bool:
    try:
        await depth(url, queue)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    return True


@pytest.mark.row("B-14", "B-20", "E-14")
async def test_a_poison_gets_four_attempts_after_1_4_and_16_seconds_and_nobody_waits_for_it(
    publisher: Publisher, consume: Consume, broker_url: str
) -> None:
    attempts: list[float] = []
    quick: list[float] = []

    async def handle(body: bytes) -> Verdict:
        if body == b"poison":
            attempts.append(monotonic())
            raise ArithmeticError
        quick.append(monotonic())
        return Retry("once") if len(quick) == 1 else Done()

    await consume(handle, delays=RETRY_DELAYS)
    await send(publisher, b"poison")
    await until(lambda: _three(attempts))
    await send(publisher, b"quick")  # to wait a second while the poison waits for sixteen
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    late = [gap - delay for gap, delay in zip(gaps, RETRY_DELAYS, strict=True)]
    assert all(-0.1 < each < 1.5 for each in late), gaps  # seconds: a busy machine, and the broker's own timers
    assert 0.9 < quick[1] - quick[0] < 2.5
    assert (parked.body, parked.routing_key) == (b"poison", "order.created.failed")
    assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("internal_error", 3)


async def _three(attempts: list[float]) -> bool:
    return len(attempts) == 3


@pytest.mark.row("B-16")
async def test_a_handler_that_never_ends_is_ended_before_the_broker_takes_its_message_away(
    publisher: Publisher, consume: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert consuming._DEADLINE < SHORTEST_ACK_TIMEOUT
    monkeypatch.setattr(consuming, "_DEADLINE", 0.2)
    begun = 0
    done = asyncio.Event()

    async def handle(_: bytes) -> Verdict:
        nonlocal begun
        begun += 1
        if begun == 1:
            await asyncio.Event().wait()
        done.set()
        return Done()

    await consume(handle)
    await send(publisher, b"endless")
    await asyncio.wait_for(done.wait(), 30)
    assert begun == 2


@pytest.mark.row("B-17")
@pytest.mark.parametrize("wrong", ["password", "vhost"])
async def test_a_broker_that_refuses_us_is_asked_ever_more_seldom_and_the_log_says_why(
    broker_url: str, wrong: str
) -> None:
    address = urlsplit(broker_url)
    url = broker_url.replace(f":{address.password}@", ":wrong@") if wrong == "password" else f"{broker_url}missing"
    publisher = Publisher(url, name="test", topology=TOPOLOGY, metrics=Metrics())
    with structlog.testing.capture_logs() as lines:
        await publisher.open()
        await asyncio.sleep(8)
        assert not await publisher.answers()
        await publisher.close()
    tries = [line for line in lines if line["event"] == "broker_unreachable"]
    assert 2 <= len(tries) <= 8
    assert all(("ACCESS_REFUSED" if wrong == "password" else "NOT_ALLOWED") in line["said"] for line in tries)


@pytest.mark.row("B-18")
async def test_a_backlog_is_worked_off_ten_at_a_time_and_faster_than_it_ever_comes(
    publisher: Publisher, consume: Consume
) -> None:
    number, most, now = 3000, 0, 0
    left = number
    done = asyncio.Event()

    async def handle(_: bytes) -> Verdict:
        nonlocal most, now, left
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        left -= 1
        if not left:
            done.set()
        return Done()

    for start in range(0, number, 500):
        await asyncio.gather(*(send(publisher, str(start + each).encode()) for each in range(500)))
    began = monotonic()
    with structlog.testing.capture_logs():
        await consume(handle)
        await asyncio.wait_for(done.wait(), 60)
    assert most <= consuming.PREFETCH
    assert number / (monotonic() - began) >= 5000 / 60


@pytest.mark.row("B-19")
async def test_a_handler_that_raises_a_thousand_times_loses_no_slot(
    publisher: Publisher, consume: Consume, broker_url: str
) -> None:
    number = 1000
    nobodys = asyncio.CancelledError  # as from a library that gives up what the handler waits for
    kinds = (ArithmeticError, ValueError, TimeoutError, ConnectionError, RecursionError, nobodys)

    async def handle(body: bytes) -> Verdict:
        raise kinds[int(body) % len(kinds)]

    await asyncio.gather(*(send(publisher, str(each).encode(), **{ATTEMPT: 3}) for each in range(number)))
    metrics = Metrics()
    with structlog.testing.capture_logs():
        await consume(handle, metrics=metrics)
        await until(lambda: _equals(depth(broker_url, DEAD_LETTER_QUEUE), number))
    await until(lambda: _idle(metrics))
    assert await depth(broker_url, CREATED.queue) == 0


async def _idle(metrics: Metrics) -> bool:
    return metrics.registry.get_sample_value("shopflow_messages_in_flight", {"queue": CREATED.queue}) == 0


@pytest.mark.row("E-13")
@pytest.mark.parametrize(
    ("forged", "attempts"),
    [
        ({ATTEMPT: -1}, 4),
        ({ATTEMPT: 10**9}, 1),
        ({ATTEMPT: "many"}, 4),
        ({ATTEMPT: True}, 3),
        ({ATTEMPT: 1.5}, 4),
        ({"x-death": [{"count": 10**6, "queue": CREATED.queue, "reason": "expired"}]}, 4),
        ({"x-death": "nonsense", "x-delivery-count": 10**6}, 4),
    ],
)
async def test_whatever_a_stranger_says_of_earlier_attempts_there_is_one_ladder_at_most(
    publisher: Publisher, consume: Consume, broker_url: str, forged: dict[str, object], attempts: int
) -> None:
    handled: list[bytes] = []

    async def fail(body: bytes) -> Verdict:
        handled.append(body)
        return Retry("still_broken")

    await consume(fail)
    await send(publisher, b"forged", **forged)
    [parked] = await taken(broker_url, DEAD_LETTER_QUEUE, 1)
    assert len(handled) == attempts
    assert (parked.body, parked.headers[ATTEMPT]) == (b"forged", 3)
