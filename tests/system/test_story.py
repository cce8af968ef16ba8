"""One order's whole story on the running platform, and what happens to it when parts die."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest
from tests.system.conftest import RunningPlatform, command, registered, until

from shopflow.local.story import Story

pytestmark = pytest.mark.timeout(360)


async def test_an_order_from_registration_to_delivery_brings_four_messages(platform: RunningPlatform) -> None:
    told = await Story(platform.up, say=print).play()
    assert [each["to"] for each in told["history"]] == ["pending", "confirmed", "shipped", "delivered"]
    kinds = sorted((each["channel"], each["subject"] and each["subject"].split(" - ")[0]) for each in told["messages"])
    assert kinds == [("email", "Order Confirmation"), ("email", "Order Shipped"), ("sms", None), ("sms", None)]
    assert {each["status"] for each in told["notifications"]} == {"sent"}
    assert sorted((each["type"], each["channel"]) for each in told["notifications"]) == [
        ("order_created", "email"), ("order_created", "sms"), ("order_shipped", "email"), ("order_shipped", "sms"),
    ]  # fmt: skip


async def test_the_mailbox_id_of_a_message_is_the_notifications_reference(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    shopper = await registered(http, platform.up, "reference")
    order = await shopper.order()

    async def sent() -> bool:
        page = await shopper.get("notifications", f"/notifications?order_id={order}&channel=email")
        return bool(page["data"]) and page["data"][0]["status"] == "sent"

    await until(sent)
    [listed] = (await shopper.get("notifications", f"/notifications?order_id={order}&channel=email"))["data"]
    detail = await shopper.get("notifications", f"/notifications/{listed['id']}")
    assert [each["id"] for each in await shopper.received()] == [detail["provider_ref"]]


async def test_orders_placed_while_rabbitmq_is_killed_lose_no_message(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    shopper = await registered(http, platform.up, "broker.dies")
    orders = [await shopper.order() for _ in range(5)]
    before = platform.up["pids"]["rabbitmq"]
    os.kill(before, signal.SIGKILL)
    orders += [await shopper.order() for _ in range(20)]
    await until(lambda: _received(shopper, orders))
    assert platform.up["pids"]["rabbitmq"] != before
    assert len(await shopper.received()) == len(orders)


async def _received(shopper: Any, orders: list[str]) -> bool:
    return {f"Order Confirmation - #{order[:8]}" for order in orders} <= {
        each["subject"] for each in await shopper.received()
    }


@pytest.mark.parametrize("child", ["auth", "orders", "notifications", "mailbox", "postgres"])
async def test_a_child_that_dies_is_started_again_and_the_shop_goes_on(
    platform: RunningPlatform, http: aiohttp.ClientSession, child: str
) -> None:
    before = platform.up["pids"][child]
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        return platform.up["pids"][child] != before and command(platform.environment, "status").returncode == 0

    await until(back)
    shopper = await registered(http, platform.up, f"after.{child}")
    order = await shopper.order()
    await until(lambda: _received(shopper, [order]))


async def test_orders_are_accepted_and_the_messages_follow_while_notifications_is_down(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    shopper = await registered(http, platform.up, "late.news")
    os.kill(platform.up["pids"]["notifications"], signal.SIGTERM)
    orders = [await shopper.order() for _ in range(5)]
    await until(lambda: _received(shopper, orders))
    assert len(await shopper.received()) == len(orders)


async def test_services_keep_to_their_memory(platform: RunningPlatform) -> None:
    await asyncio.sleep(0)
    pids = platform.up["pids"]
    used = {name: _pss(pids[name]) for name in ("auth", "orders", "notifications")}
    assert used["auth"] <= 120, used
    assert used["orders"] <= 120, used
    assert used["notifications"] <= 150, used


def _pss(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as file:  # noqa: PTH123 - not a file on a disk
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
