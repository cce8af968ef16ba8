"""A connection that is up and no use is given up: nothing waits for a broker that has forgotten us (C11)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aio_pika
import pytest
from tests.chaos.proxy import Proxy
from tests.chaos.toxics import Direction, Latency
from tests.chaos.wires import AmqpWire

from shopflow.contracts.topology import SUBSCRIPTIONS, events_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.subscriber import Delivery, Subscriber

QUEUE = SUBSCRIPTIONS[0].queue
PREFETCH = 2


@asynccontextmanager
async def subscribed(
    url: str, metrics: Metrics, receive: Callable[[str, Delivery], Awaitable[None]], *, prefetch: int = PREFETCH
) -> AsyncIterator[Subscriber]:
    topology = events_topology("quorum")
    subscriber = Subscriber(
        url, name="test", topology=topology, metrics=metrics, queues=[QUEUE], receive=receive, prefetch=prefetch
    )
    await subscriber.open()
    await subscriber.wait_up()
    yield subscriber
    await subscriber.drain(0)
    await subscriber.close()


async def send(url: str, *bodies: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for body in bodies:
            await channel.default_exchange.publish(aio_pika.Message(body), QUEUE)


def stalls(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("shopflow_broker_stalls_total", {"link": "test"}) or 0.0


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shopflow.kit.rabbitmq.subscriber._WATCH", 0.5)
    monkeypatch.setattr("shopflow.kit.rabbitmq.subscriber._PROBE_DEADLINE", 1.0)


@pytest.mark.row("B-19")
@pytest.mark.usefixtures("_impatient")
async def test_messages_that_nobody_works_on_come_again_though_all_slots_were_lost(broker_url: str) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    lost = 0

    async def receive(_: str, delivery: Delivery) -> None:
        nonlocal lost
        if lost < PREFETCH:
            lost += 1
            return  # neither acknowledged nor handed back: what a defect does to a slot
        await delivery.acknowledge()
        seen.put_nowait(delivery.body)

    metrics = Metrics()
    async with subscribed(broker_url, metrics, receive):
        await send(broker_url, b"1", b"2", b"3")
        assert {await asyncio.wait_for(seen.get(), 30) for _ in range(3)} == {b"1", b"2", b"3"}
    assert stalls(metrics) == 1


@pytest.mark.row("B-8")
@pytest.mark.usefixtures("_impatient")
async def test_a_connection_whose_packets_vanish_is_noticed_and_replaced(broker_url: str) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(_: str, delivery: Delivery) -> None:
        await delivery.acknowledge()
        seen.put_nowait(delivery.body)

    address = urlsplit(broker_url)
    assert address.port is not None
    proxy = Proxy("broker", port=address.port)
    await proxy.open()
    metrics = Metrics()
    async with subscribed(broker_url.replace(f":{address.port}", f":{proxy.port}"), metrics, receive):
        proxy.freeze()
        await send(broker_url, b"later")
        assert await asyncio.wait_for(seen.get(), 30) == b"later"
    await proxy.close()
    assert stalls(metrics) == 1


@pytest.mark.row("B-11")
@pytest.mark.usefixtures("_impatient")
async def test_a_slow_connection_on_which_things_still_come_is_not_given_up(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shopflow.kit.rabbitmq.subscriber._PROBE_DEADLINE", 0.4)
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(_: str, delivery: Delivery) -> None:
        await delivery.acknowledge()
        seen.put_nowait(delivery.body)

    address = urlsplit(broker_url)
    assert address.port is not None
    proxy = Proxy("broker", port=address.port, wire=AmqpWire)
    await proxy.open()
    metrics, messages = Metrics(), [b"%d" % number for number in range(3)]
    url = broker_url.replace(f":{address.port}", f":{proxy.port}")
    async with subscribed(url, metrics, receive, prefetch=len(messages)):
        proxy.toxics = (Latency(seconds=0.2, directions=(Direction.DOWN,)),)
        await send(broker_url, *messages)  # the answer to a question comes behind them all
        assert [await asyncio.wait_for(seen.get(), 30) for _ in messages] == messages
        proxy.toxics = ()
    await proxy.close()
    assert stalls(metrics) == 0


@pytest.mark.usefixtures("_impatient")
async def test_a_queue_without_messages_and_a_consumer_with_full_hands_are_left_alone(broker_url: str) -> None:
    may_end = asyncio.Event()
    busy: asyncio.Queue[None] = asyncio.Queue()

    async def receive(_: str, delivery: Delivery) -> None:
        busy.put_nowait(None)
        await may_end.wait()
        await delivery.acknowledge()

    metrics = Metrics()
    async with subscribed(broker_url, metrics, receive) as subscriber:
        life = subscriber._busy
        await asyncio.sleep(2)  # several looks: nothing is there to come
        await send(broker_url, *(b"slow" for _ in range(PREFETCH + 1)))
        for _ in range(PREFETCH):
            await asyncio.wait_for(busy.get(), 30)
        await asyncio.sleep(2)  # several looks: one waits, and we can take no more
        assert (stalls(metrics), subscriber._busy is life) == (0, True)
        may_end.set()
        await asyncio.wait_for(busy.get(), 30)


@pytest.mark.row("B-9")
async def test_what_is_being_handled_goes_on_when_its_connection_is_lost(broker_url: str) -> None:
    begun: asyncio.Queue[bool] = asyncio.Queue()
    ended: asyncio.Queue[str] = asyncio.Queue()
    may_end = asyncio.Event()

    async def receive(_: str, delivery: Delivery) -> None:
        begun.put_nowait(delivery.redelivered)
        try:
            await may_end.wait()  # as at a provider that has the message already
        except asyncio.CancelledError:
            ended.put_nowait("cancelled")
            raise
        ended.put_nowait("ended")
        await delivery.acknowledge()

    address = urlsplit(broker_url)
    assert address.port is not None
    proxy = Proxy("broker", port=address.port)
    await proxy.open()
    async with subscribed(broker_url.replace(f":{address.port}", f":{proxy.port}"), Metrics(), receive):
        await send(broker_url, b"one")
        assert await asyncio.wait_for(begun.get(), 30) is False
        proxy.cut()
        assert await asyncio.wait_for(begun.get(), 30) is True  # on the next connection
        may_end.set()
        assert [await asyncio.wait_for(ended.get(), 30) for _ in range(2)] == ["ended", "ended"]
    await proxy.close()
