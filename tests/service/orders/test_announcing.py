"""From a placed order to the message in notification-service's queue, on a real RabbitMQ, up and down."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import aio_pika
import aiohttp
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, settings_of

from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.kit.cancellations import none_but_ours
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
    """So many messages from a queue, as soon as they are there; a broker that has just begun may know no queue yet."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with asyncio.timeout(60):
        while len(found) < number:
            with suppress(aio_pika.exceptions.AMQPError, ConnectionError), none_but_ours():
                async with await aio_pika.connect(url) as connection:
                    source = await (await connection.channel()).get_queue(queue)
                    while len(found) < number:
                        if message := await source.get(fail=False, no_ack=True):
                            found.append(message)
                        else:
                            await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)
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
