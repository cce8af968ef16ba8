"""One order's whole story on the running platform, and what happens to it when parts die."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest
from tests.system.conftest import RunningPlatform, Shopper, command, registered, until

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


@pytest.mark.row("P-6")
async def test_what_the_providers_report_is_believed_kept_and_heeded(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    shopper = await registered(http, platform.up, "sent.back")
    first = await _settled(shopper, await shopper.order())
    assert {channel: each["status"] for channel, each in first.items()} == {"email": "sent", "sms": "sent"}
    for channel, event in (("email", "bounce"), ("sms", "delivered")):
        posted = await _reported(platform.up, first[channel]["provider_ref"], event)
        assert posted["status"] == 204, posted
    attempts = {
        channel: (await shopper.get("notifications", f"/notifications/{each['id']}/attempts"))["data"]
        for channel, each in first.items()
    }
    assert {channel: [each["receipt"] for each in made] for channel, made in attempts.items()} == {
        "email": ["bounced"],
        "sms": ["delivered"],
    }
    second = await _settled(shopper, await shopper.order())
    assert {channel: each["status"] for channel, each in second.items()} == {"email": "failed", "sms": "sent"}
    assert second["email"]["error_message"].startswith("suppressed: ")
    assert len(await shopper.received()) == 1


async def _settled(shopper: Shopper, order: str) -> dict[str, Any]:
    """The notifications of an order's event by channel, once none is on its way."""
    found: dict[str, Any] = {}

    async def settled() -> bool:
        page = await shopper.get("notifications", f"/notifications?order_id={order}")
        found.update({each["channel"]: each for each in page["data"]})
        return len(found) == 2 and all(each["status"] != "queued" for each in found.values())

    await until(settled)
    return {
        channel: await shopper.get("notifications", f"/notifications/{each['id']}") for channel, each in found.items()
    }


async def _reported(up: dict[str, Any], message: str, event: str) -> Any:
    """What notification-service answered to a provider's callback about a message, signed as the provider signs."""
    async with aiohttp.ClientSession() as http:
        answer = await http.post(f"{up['mailbox']}/callbacks", json={"message": message, "event": event})
        return await answer.json()


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
