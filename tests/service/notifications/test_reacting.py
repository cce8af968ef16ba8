"""What an event leads to when everything works: one e-mail, one SMS, on record before they are sent."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped, until

from shopflow.contracts.identity import Role

BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}


def sample(root: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((root / "tests" / "agreement" / "samples" / name).read_bytes())
    return read


async def test_a_created_order_leads_to_one_email_and_one_sms(shop: Shop) -> None:
    order = shop.order()
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    [email], [sms] = await shop.messages("email"), await shop.messages("sms")
    assert (email["to"], sms["to"]) == ("jane.doe@example.com", "+15551234567")
    assert email["subject"] == f"Order Confirmation - #{order.id[:8]}"
    assert "Wireless Headphones" in email["html"]
    assert "Wireless Headphones" in email["text"]
    assert order.id[:8] in sms["text"]
    assert await shop.states(order) == BOTH


async def test_a_shipped_order_leads_to_one_email_and_one_sms(shop: Shop) -> None:
    order = shop.order()
    await shop.publish(shipped(order), key=SHIPPED.routing_key)
    await shop.until_verdicts(SHIPPED.queue, done=1)
    [email], [sms] = await shop.messages("email"), await shop.messages("sms")
    assert email["subject"] == f"Order Shipped - #{order.id[:8]}"
    assert "shipped" in sms["text"].lower()
    assert await shop.states(order) == {"order_shipped.email": "sent", "order_shipped.sms": "sent"}


async def test_what_is_recorded_has_the_fields_of_the_prds_samples_in_their_order(shop: Shop, root: Path) -> None:
    order = shop.order()
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    owner = shop.auth.token(Role.CUSTOMER, order.user_id)
    [sent] = await shop.messages("email")

    listed = await shop.ask("/notifications", owner, params={"channel": "email"})
    expected = sample(root, "notifications_list_response.json")
    assert list(listed) == list(expected)
    assert listed["pagination"] == expected["pagination"]
    [summary] = listed["data"]
    assert list(summary) == list(expected["data"][0])
    times = datetime.fromisoformat(summary["created_at"]), datetime.fromisoformat(summary["sent_at"])
    assert times[0] <= times[1]

    detail = await shop.ask(f"/notifications/{summary['id']}", owner)
    expected = sample(root, "notifications_detail_response.json")
    assert list(detail) == list(expected)
    assert {name: detail[name] for name in summary} == summary
    assert {name: detail[name] for name in ("channel", "type", "recipient", "status", "error_message")} == {
        name: expected[name] for name in ("channel", "type", "recipient", "status", "error_message")
    }
    assert (detail["user_id"], detail["order_id"]) == (order.user_id, order.id)
    assert (detail["body"], detail["provider_ref"]) == (sent["html"], sent["id"])
    assert sent["tags"] == {"notification_id": detail["id"]}


async def test_the_recorded_sms_is_the_sent_one(shop: Shop) -> None:
    order = shop.order()
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    [row] = await shop.rows("SELECT * FROM notifications WHERE channel = 'sms'")
    [sent] = await shop.messages("sms")
    assert (row["recipient"], row["subject"], row["body"]) == (sent["to"], None, sent["text"])
    assert row["provider_ref"] == sent["id"]


async def test_shipped_before_created_leads_to_both_messages(shop: Shop) -> None:
    order = shop.order()
    await shop.publish(shipped(order), key=SHIPPED.routing_key)
    await shop.until_verdicts(SHIPPED.queue, done=1)
    await shop.publish(created(order))
    await shop.until_verdicts(CREATED.queue, done=1)
    assert await shop.states(order) == BOTH | {"order_shipped.email": "sent", "order_shipped.sms": "sent"}
    subjects = [each["subject"] for each in await shop.messages("email")]
    assert subjects == [f"Order Confirmation - #{order.id[:8]}", f"Order Shipped - #{order.id[:8]}"]


@pytest.mark.row("M-6")
async def test_a_customer_without_a_phone_number_gets_the_email_only(shop: Shop) -> None:
    order = shop.order(shop.customer(phone=None))
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    assert await shop.states(order) == {"order_created.email": "sent"}
    assert await shop.requests("sms") == 0


async def test_an_inactive_customer_is_told_all_the_same(shop: Shop) -> None:
    customer = shop.customer()
    shop.auth.profiles[customer.id] = msgspec.structs.replace(customer, is_active=False)
    order = shop.order(customer)
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    assert await shop.states(order) == BOTH


async def test_notifications_are_on_record_before_they_are_sent(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("email", "stall", seconds=1, count=1)
    await shop.fail("sms", "stall", seconds=1, count=1)
    await shop.publish(created(order))

    async def queued() -> bool:
        return await shop.states(order) == {"order_created.email": "queued", "order_created.sms": "queued"}

    await until(queued)
    assert await shop.messages() == []
    assert await shop.outcomes("email") == [None]
    await shop.until_verdicts(done=1)
    assert await shop.states(order) == BOTH


async def test_an_event_handled_again_sends_nothing_again(shop: Shop) -> None:
    order = shop.order()
    body = created(order)
    for number in range(1, 6):
        await shop.publish(body)
        await shop.until_verdicts(done=number)
    assert (await shop.requests("email"), await shop.requests("sms")) == (1, 1)


async def test_an_event_that_comes_a_hundred_times_at_once_is_sent_once(shop: Shop) -> None:
    order = shop.order()
    body = created(order)
    await asyncio.gather(*(shop.publish(body) for _ in range(100)))

    async def handled() -> bool:
        return sum((await shop.verdicts()).values()) == 100

    await until(handled)
    given = await shop.verdicts()
    assert set(given) <= {"done", "wait"}
    if waits := given.get("wait"):
        await shop.hasten(number=waits)
        await shop.until_verdicts(done=100, wait=waits)
    assert (await shop.requests("email"), await shop.requests("sms")) == (1, 1)
    assert await shop.states(order) == BOTH


async def test_another_content_under_the_same_id_is_not_looked_at(shop: Shop) -> None:
    first, second = shop.order(), shop.order()
    body = created(first)
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    await shop.publish(created(second, event_id=body["event_id"]))
    await shop.until_verdicts(done=2)
    assert await shop.states(second) == {}
    assert len(await shop.messages()) == 2
    async with shop.http.get(shop.url + "/metrics") as answer:
        assert "shopflow_events_contradicting_total 1.0" in await answer.text()


async def test_unknown_fields_and_later_minor_versions_are_understood(shop: Shop) -> None:
    order = shop.order()
    body = created(order, version="1.7", colour="blue") | {"weather": {"wind": [1, 2]}}
    await shop.publish(body, content_type=None, message_id=None, delivery_mode=None)
    await shop.until_verdicts(done=1)
    assert await shop.states(order) == BOTH


async def test_ids_in_capitals_are_the_same_ids(shop: Shop) -> None:
    order = shop.order()
    event_id = str(uuid4())
    await shop.publish(created(order, event_id=event_id))
    await shop.until_verdicts(done=1)
    upper = created(order, event_id=event_id.upper(), order_id=order.id.upper(), user_id=order.user_id.upper())
    await shop.publish(upper)
    await shop.until_verdicts(done=2)
    assert len(await shop.messages()) == 2


async def test_the_trace_of_the_event_goes_on_in_the_questions_to_the_neighbours(shop: Shop) -> None:
    trace_id = uuid4().hex
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
    await shop.publish(created(shop.order()), headers=headers)
    await shop.until_verdicts(done=1)
    for [(_, asked)] in (shop.auth.asked, shop.orders.asked):
        assert asked["traceparent"].split("-")[1] == trace_id
        assert asked["traceparent"].split("-")[2] != "00f067aa0ba902b7"
        assert asked["tracestate"] == "vendor=1"


async def test_the_neighbours_are_asked_once_for_an_event_however_often_it_is_tried(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("sms", "error", status=503, code=20503, count=2)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=2, done=1)
    assert [path for path, _ in shop.orders.asked] == [f"/orders/{order.id}"]
    assert [path for path, _ in shop.auth.asked] == [f"/auth/users/{order.user_id}"]


async def test_a_slow_email_does_not_hold_up_the_sms(shop: Shop) -> None:
    await shop.fail("email", "stall", seconds=4, count=1)
    order = shop.order()
    await shop.publish(created(order))

    async def sms_sent() -> bool:
        return (await shop.states(order)).get("order_created.sms") == "sent"

    await until(sms_sent)
    assert (await shop.states(order))["order_created.email"] == "queued"
    await shop.until_verdicts(done=1)
    assert await shop.states(order) == BOTH


async def test_a_notification_id_follows_from_the_event(shop: Shop) -> None:
    body = created(shop.order())
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    rows = await shop.rows("SELECT event_id FROM deliveries")
    assert [row["event_id"] for row in rows] == [UUID(body["event_id"])] * 2
