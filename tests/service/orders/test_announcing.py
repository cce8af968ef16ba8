"""From a placed order to the message in notification-service's queue, on a real RabbitMQ, up and down."""

import asyncio
import json
from typing import Any

import aio_pika
import aiohttp
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, settings_of

from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.local.rabbitmq import RabbitMQ
from shopflow.orders.settings import Settings

CREATED, SHIPPED = (each.queue for each in SUBSCRIPTIONS)


@pytest.fixture
async def announcing(
    settings: Settings, broker_url: str, auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> Shop:
    """An order-service with a broker."""
    with_broker = settings_of(database_url=settings.database_url, auth_service_url=auth.url, rabbitmq_url=broker_url)
    return await opened(with_broker, auth, serving, http)


async def taken(url: str, queue: str, number: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """So many messages from a queue, as soon as they are there."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with asyncio.timeout(60), await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        while len(found) < number:
            try:
                source = await channel.get_queue(queue)
                message = await source.get(fail=False, no_ack=True)
            except aio_pika.exceptions.ChannelClosed:  # the service has not declared it yet
                channel, message = await connection.channel(), None
            if message is None:
                await asyncio.sleep(0.02)
            else:
                found.append(message)
    return found


async def test_placing_and_shipping_are_announced_and_confirming_is_not(announcing: Shop, broker_url: str) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    order = await announcing.place(headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    [created] = await taken(broker_url, CREATED, 1)
    body: dict[str, Any] = json.loads(created.body)
    assert created.message_id == body["event_id"]
    assert created.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert str(created.headers["traceparent"]).split("-")[1] == trace_id
    assert (body["event_type"], body["payload"]["order_id"]) == ("OrderCreated", order["id"])
    for status in ("confirmed", "shipped", "delivered"):
        await announcing.advance(order["id"], status)
    [shipped] = await taken(broker_url, SHIPPED, 1)
    assert json.loads(shipped.body)["payload"]["order_id"] == order["id"]
    assert len(await announcing.rows("SELECT FROM outbox")) == 2


async def test_orders_placed_while_the_broker_is_down_are_announced_once_it_is_back(
    announcing: Shop, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    before = await announcing.place()
    await taken(broker_url, CREATED, 1)
    await rabbitmq.stop()
    orders = [await announcing.place() for _ in range(3)]
    for status in ("confirmed", "shipped"):
        await announcing.advance(before["id"], status)
    await rabbitmq.start()
    created = await taken(broker_url, CREATED, 3)
    assert {json.loads(each.body)["payload"]["order_id"] for each in created} == {order["id"] for order in orders}
    [shipped] = await taken(broker_url, SHIPPED, 1)
    assert json.loads(shipped.body)["payload"]["order_id"] == before["id"]
