"""Links at the ends of their lives: to a broker that is not there, and while a service stops."""

import asyncio
import gc
from contextlib import suppress
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.connection import make_url
from tests.chaos.proxy import Proxy

from shopflow.contracts.topology import EVENTS_EXCHANGE, SUBSCRIPTIONS, events_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import CLOSE_DEADLINE
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher
from shopflow.kit.rabbitmq.subscriber import Delivery, Subscriber
from shopflow.local.ports import free_port


async def test_a_link_can_be_closed_at_any_moment_of_a_failing_connect() -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with asyncio.timeout(90):
        for turn in range(200):
            publisher = Publisher(url, name="test", topology=events_topology("quorum"), metrics=Metrics())
            await publisher.open()
            await asyncio.sleep(turn % 40 * 0.0003)  # the moments in which a cancellation meets the refusal
            await publisher.close()


class Swallowing(Publisher):
    """Loses a cancellation while it connects, as `wait_for` of Python 3.11 does when its answer comes that moment."""

    def __init__(self, url: str) -> None:
        super().__init__(url, name="test", topology=events_topology("quorum"), metrics=Metrics())
        self.connecting = asyncio.Event()

    async def _prepare(self, connection: Connection) -> AbstractChannel:
        channel = await super()._prepare(connection)
        self.connecting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return channel


async def test_a_link_can_be_closed_at_the_very_moment_of_a_connect(broker_url: str) -> None:
    publisher = Swallowing(broker_url)
    await publisher.open()
    await publisher.connecting.wait()
    async with asyncio.timeout(20):
        await publisher.close()
    assert not await publisher.answers()


async def test_what_has_stopped_taking_messages_takes_none_after_losing_its_connection(broker_url: str) -> None:
    queue = SUBSCRIPTIONS[0].queue
    received: list[bytes] = []

    async def receive(_: str, delivery: Delivery) -> None:
        received.append(delivery.body)

    topology = events_topology("quorum")
    subscriber = Subscriber(
        broker_url, name="test", topology=topology, metrics=Metrics(), queues=[queue], receive=receive, prefetch=1
    )
    await subscriber.open()
    await subscriber.wait_up()
    await subscriber.drain(0)
    subscriber._broken.set()
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"later"), queue)
        await asyncio.sleep(1)  # ten times what a reconnect takes
        source = await channel.get_queue(queue)
        assert source.declaration_result.message_count == 1
    await subscriber.close()
    assert received == []


async def test_a_publish_whose_connection_is_rebuilt_under_it_says_that_the_broker_is_unavailable(
    broker_url: str,
) -> None:
    publisher = Publisher(broker_url, name="test", topology=events_topology("quorum"), metrics=Metrics())
    await publisher.open()
    key = SUBSCRIPTIONS[0].routing_key
    for _ in range(5):
        await publisher.wait_up()
        publishing = [
            asyncio.create_task(publisher.publish(EVENTS_EXCHANGE, key, b"{}", message_id=str(number), headers={}))
            for number in range(200)
        ]
        await asyncio.sleep(0)
        publisher._broken.set()
        ended = await asyncio.gather(*publishing, return_exceptions=True)
        assert {type(each) for each in ended} <= {type(None), BrokerUnavailable}
    await publisher.close()


@pytest.mark.row("B-8")
async def test_publishes_on_a_connection_whose_packets_vanish_all_say_that_the_broker_is_unavailable(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shopflow.kit.rabbitmq.publisher._DEADLINE", CLOSE_DEADLINE + 1)
    address = urlsplit(broker_url)
    assert address.port is not None
    proxy = Proxy("broker", port=address.port)
    await proxy.open()
    url = broker_url.replace(f":{address.port}", f":{proxy.port}")
    publisher = Publisher(url, name="test", topology=events_topology("quorum"), metrics=Metrics())
    await publisher.open()
    await publisher.wait_up()
    proxy.freeze()
    publishing = []
    for number in range(50):  # beyond the moment in which the first one gives the connection up
        publish = publisher.publish(
            EVENTS_EXCHANGE, SUBSCRIPTIONS[0].routing_key, b"{}", message_id=str(number), headers={}
        )
        publishing.append(asyncio.create_task(publish))
        await asyncio.sleep(0.05)
    ended = await asyncio.gather(*publishing, return_exceptions=True)
    assert {type(each) for each in ended} <= {type(None), BrokerUnavailable}
    assert BrokerUnavailable in {type(each) for each in ended}
    await publisher.close()
    await proxy.close()


async def test_a_subscriber_stops_quietly_while_its_connection_is_rebuilt(broker_url: str) -> None:
    async def receive(_: str, delivery: Delivery) -> None:
        await delivery.acknowledge()

    topology = events_topology("quorum")
    queues = [each.queue for each in SUBSCRIPTIONS]
    for _ in range(10):
        subscriber = Subscriber(
            broker_url, name="test", topology=topology, metrics=Metrics(), queues=queues, receive=receive, prefetch=1
        )
        await subscriber.open()
        await subscriber.wait_up()
        subscriber._broken.set()
        await subscriber.drain(0)
        await subscriber.close()


async def test_a_connection_that_is_dropped_begins_nothing() -> None:
    connection = Connection(make_url("amqp://guest:guest@127.0.0.1/"))
    running = asyncio.all_tasks()
    del connection
    gc.collect()
    assert asyncio.all_tasks() == running
