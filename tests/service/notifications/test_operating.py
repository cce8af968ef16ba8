"""Running notification-service: what it says of itself, stops while it works, several instances, lost dependencies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import aio_pika
import aiohttp
import asyncpg
from tests.service.notifications.shop import CREATED, Service, Shop, created, until

from shopflow.contracts.topology import PAUSE_DELAY
from shopflow.kit.server import running
from shopflow.kit.service import Application
from shopflow.local.ports import free_port
from shopflow.local.rabbitmq import RabbitMQ
from shopflow.notifications.app import build
from shopflow.notifications.settings import Settings

Serve = Callable[[Application], Awaitable[str]]

BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}


async def said(http: aiohttp.ClientSession, url: str, *, expect: int = 200) -> Any:
    async with http.get(url) as answer:
        assert answer.status == expect
        return await answer.json()


@asynccontextmanager
async def instance(settings: Settings, around: Shop) -> AsyncIterator[Shop]:
    """An instance of the service, consuming for as long as the block lasts."""
    port = free_port()
    async with running(build(settings), host="127.0.0.1", port=port):
        shop = replace(around, url=f"http://127.0.0.1:{port}")
        await shop.until_consuming()
        yield shop


async def test_with_all_it_depends_on_it_is_ready(shop: Shop) -> None:
    needed = ("database", "broker", "auth-service", "order-service", "rate-limit-store", "email-channel", "sms-channel")
    checks = dict.fromkeys(needed, "ok")
    assert await said(shop.http, f"{shop.url}/ready") == {"status": "ok", "checks": checks}


async def test_without_broker_and_neighbour_it_is_degraded_and_still_read_from(service: Service) -> None:
    answer = await said(service.http, f"{service.url}/ready")
    assert answer["status"] == "degraded"
    assert answer["checks"] == {
        "database": "ok",
        "broker": "unavailable",
        "auth-service": "ok",
        "order-service": "unavailable",
        "rate-limit-store": "ok",
        "email-channel": "ok",
        "sms-channel": "ok",
    }
    assert await said(service.http, f"{service.url}/health") == {"status": "ok"}


async def test_without_its_database_it_is_alive_and_not_ready(
    alone: Settings, serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(build(replace(alone, database_url="postgresql://nobody@127.0.0.1:9/nothing")))
    assert (await said(http, f"{url}/ready", expect=503))["status"] == "unavailable"
    assert await said(http, f"{url}/health") == {"status": "ok"}


async def test_its_metrics_tell_messages_and_deliveries(shop: Shop) -> None:
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(done=1)
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        text = await answer.text()
    assert f'shopflow_messages_total{{queue="{CREATED.queue}",verdict="done"}} 1.0' in text
    for channel in ("email", "sms"):
        assert f'shopflow_deliveries_total{{channel="{channel}",outcome="accepted"}} 1.0' in text
        assert f'shopflow_provider_seconds_count{{channel="{channel}"}} 1.0' in text
    assert 'shopflow_broker_connected{link="consumer"} 1.0' in text


async def test_its_description_names_both_reads_with_their_parameters(service: Service) -> None:
    described = await said(service.http, f"{service.url}/openapi.json")
    listing = described["paths"]["/notifications"]["get"]
    names = {each["name"] for each in listing["parameters"]}
    assert names == {"page", "limit", "cursor", "channel", "order_id", "user_id", "scope", "status", "type"}
    assert "get" in described["paths"]["/notifications/{notification_id}"]


async def test_a_stop_lets_what_is_being_handled_end(settings: Settings, around: Shop) -> None:
    async with instance(settings, around) as stopping:
        await stopping.fail("email", "stall", seconds=1, count=2)
        for _ in range(2):
            await stopping.publish(created(stopping.order()))
        await until(lambda: _attempted(stopping, 4))
    statuses = [row["status"] for row in await around.rows("SELECT status FROM notifications")]
    assert statuses == ["sent"] * 4
    assert await around.waiting(CREATED.queue) == 0


async def test_a_stop_hands_back_what_does_not_end_and_nothing_is_lost_or_doubled(
    settings: Settings, around: Shop
) -> None:
    order = around.order()
    async with instance(settings, around) as stopping:
        await stopping.fail("email", "stall", seconds=60, count=1)
        await stopping.publish(created(order))
        await until(lambda: _attempted(stopping, 2))
        told = monotonic()
    assert monotonic() - told < 10
    await until(lambda: _handed_back(around))
    assert await around.states(order) == {"order_created.email": "queued", "order_created.sms": "sent"}
    await around.rows("UPDATE deliveries SET free_at = now() WHERE free_at < 'infinity'")  # the lease is over
    async with instance(settings, around) as starting:
        await starting.until_verdicts(done=1)
    assert await around.states(order) == BOTH
    assert (len(await around.messages("email")), len(await around.messages("sms"))) == (1, 1)


async def _handed_back(around: Shop) -> bool:
    return await around.waiting(CREATED.queue) == 1


async def _attempted(shop: Shop, number: int) -> bool:
    return len(await shop.rows("SELECT FROM attempts")) == number


async def test_instances_that_come_and_go_under_load_send_everything_once(settings: Settings, shop: Shop) -> None:
    orders = [shop.order() for _ in range(60)]

    async def publish() -> None:
        for order in orders:
            await shop.publish(created(order))
            await asyncio.sleep(0.01)

    publishing = asyncio.create_task(publish())
    for _ in range(3):
        async with instance(settings, shop):
            await asyncio.sleep(0.1)
    await publishing

    async def settled() -> bool:
        if paused := await shop.waiting(CREATED.wait_queue(PAUSE_DELAY)):
            await shop.hasten(number=paused)
        rows = await shop.rows("SELECT status FROM notifications")
        return [row["status"] for row in rows] == ["sent"] * 120

    await until(settled)
    assert {order.id: 1 for order in orders} == await _received(shop, "order_created.sms")
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (60, 60)


async def _received(shop: Shop, name: str) -> dict[str, int]:
    statement = "SELECT order_id::text, count(*) FROM notifications WHERE type || '.' || channel = $1 GROUP BY 1"
    return {row["order_id"]: row["count"] for row in await shop.rows(statement, name)}


async def test_without_its_database_it_sends_nothing_and_counts_nothing(
    shop: Shop, superuser: asyncpg.Connection
) -> None:
    name = shop.database.rpartition("/")[2].partition("?")[0]
    order = shop.order()
    await superuser.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name)
    await superuser.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
    await shop.publish(created(order))
    await shop.until_verdicts(wait=1)
    await superuser.execute(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')
    assert await shop.messages() == []
    await shop.hasten()
    await shop.until_verdicts(wait=1, done=1)
    assert await shop.states(order) == BOTH


async def test_it_goes_on_once_a_restarted_broker_is_back(shop: Shop, rabbitmq: RabbitMQ) -> None:
    await rabbitmq.stop()

    async def degraded() -> bool:
        return bool((await said(shop.http, f"{shop.url}/ready"))["status"] == "degraded")

    await until(degraded)
    await rabbitmq.start()
    await shop.until_consuming()
    order = shop.order()
    async with await aio_pika.connect(rabbitmq.url) as connection:
        back = replace(shop, broker=await connection.channel())
        await back.publish(created(order))
        await back.until_verdicts(done=1)
    assert await shop.states(order) == BOTH
