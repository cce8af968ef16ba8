"""What a support desk does about one notification: look at the attempts to deliver it, send it again (R79)."""

from typing import Any
from uuid import uuid4

import pytest
from tests.service.notifications.shop import Shop, created, until

from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Order

DOWN: dict[str, Any] = {"mode": "error", "status": 503, "code": "ServiceUnavailable"}
WHO = "1b2c3d4e-f5a6-7890-abcd-ef1234567890"


@pytest.fixture
def admin(shop: Shop) -> str:
    """An admin's token."""
    return shop.auth.token(Role.ADMIN, WHO)


async def resent(shop: Shop, notification_id: str, token: str, body: Any, *, expect: int = 202) -> dict[str, Any]:
    """The answer to sending a notification again."""
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{shop.url}/notifications/{notification_id}/resend"
    async with shop.http.post(path, json=body, headers=headers) as response:
        assert response.status == expect, await response.text()
        answer: dict[str, Any] = await response.json(content_type=None)
        return answer


async def notification(shop: Shop, order: Order, channel: str) -> str:
    """The id of an order's notification on a channel."""
    statement = "SELECT id FROM notifications WHERE order_id = $1 AND channel = $2 ORDER BY created_at LIMIT 1"
    [row] = await shop.rows(statement, order.id, channel)
    return str(row["id"])


async def delivered(shop: Shop) -> Order:
    """An order whose customer was told of it."""
    order = shop.order()
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    return order


async def status(shop: Shop, notification_id: str) -> str:
    """Where a notification stands."""
    [row] = await shop.rows("SELECT status FROM notifications WHERE id = $1", notification_id)
    return str(row["status"])


async def until_status(shop: Shop, notification_id: str, wanted: str) -> None:
    """Waits until a notification has come so far."""

    async def there() -> bool:
        return await status(shop, notification_id) == wanted

    await until(there)


async def test_every_attempt_is_told_oldest_first_and_what_the_provider_said_to_admins_only(
    shop: Shop, admin: str
) -> None:
    order = shop.order()
    await shop.fail("email", **DOWN, count=2)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=2, done=1)
    email = await notification(shop, order, "email")
    answer = await shop.ask(f"/notifications/{email}/attempts", admin)
    assert [(each["outcome"], each["class"], each["code"]) for each in answer["data"]] == [
        ("failed", "transient", "ServiceUnavailable"),
        ("failed", "transient", "ServiceUnavailable"),
        ("accepted", None, None),
    ]
    [message] = await shop.messages("email")
    assert answer["data"][2]["provider_ref"] == message["id"]
    assert answer["data"][0]["reason"].startswith("503")
    assert [each["receipt"] for each in answer["data"]] == [None] * 3
    await shop.rows(
        "INSERT INTO receipts (notification_id, provider_ref, state, rank) VALUES ($1, $2, 'delivered', 3)",
        email,
        message["id"],
    )
    answer = await shop.ask(f"/notifications/{email}/attempts", admin)
    assert [each["receipt"] for each in answer["data"]] == [None, None, "delivered"]
    assert answer["pagination"] == {"page": 1, "limit": 20, "total_items": 3, "total_pages": 1}
    owner = shop.auth.token(Role.CUSTOMER, order.user_id)
    own = await shop.ask(f"/notifications/{email}/attempts", owner)
    shown = {"id", "at", "outcome", "class", "receipt"}
    assert own["data"] == [{name: each[name] for name in shown & set(each)} for each in answer["data"]]
    stranger = shop.auth.token(Role.CUSTOMER)
    assert (await shop.ask(f"/notifications/{email}/attempts", stranger, expect=404))["type"].endswith("-not-found")
    await shop.ask(f"/notifications/{uuid4()}/attempts", admin, expect=404)
    await shop.ask("/notifications/1/attempts", admin, expect=400)
    await shop.ask(f"/notifications/{email}/attempts", shop.auth.token(Role.SERVICE), expect=403)
    await shop.ask(f"/notifications/{email}/attempts", None, expect=401)
    walked: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        part = await shop.ask(f"/notifications/{email}/attempts", admin, params={"cursor": cursor, "limit": 2})
        walked, cursor = walked + part["data"], part["next_cursor"]
    assert walked == answer["data"]


async def test_what_a_provider_refuses_for_good_has_its_class(shop: Shop, admin: str) -> None:
    order = shop.order()
    await shop.fail("email", mode="error", status=400, code="MessageRejected")
    await shop.fail("sms", mode="error", status=400, code=21211)
    await shop.publish(created(order))
    await shop.until_verdicts(done=1)
    for channel, outcome in (("email", "permanent-content"), ("sms", "permanent-recipient")):
        path = f"/notifications/{await notification(shop, order, channel)}/attempts"
        [attempt] = (await shop.ask(path, admin))["data"]
        assert (attempt["outcome"], attempt["class"]) == ("rejected", outcome), attempt


@pytest.mark.parametrize("channel", ["email", "sms"])
async def test_a_notification_is_sent_again_as_a_new_one_that_is_linked_to_the_first(
    shop: Shop, admin: str, channel: str
) -> None:
    order = await delivered(shop)
    original = await notification(shop, order, channel)
    first = await shop.ask(f"/notifications/{original}", admin)
    copy = await resent(shop, original, admin, {"reason": "the customer deleted it"})
    assert (copy["id"] != original, copy["status"], copy["sent_at"]) == (True, "queued", None)
    same = ("user_id", "order_id", "channel", "type", "recipient", "subject", "body")
    assert [copy[name] for name in same] == [first[name] for name in same]
    await until_status(shop, copy["id"], "sent")
    newest, oldest = await shop.messages(channel)
    assert (newest["text"], newest["to"]) == (oldest["text"], oldest["to"])
    assert (await shop.ask(f"/notifications/{copy['id']}", admin))["provider_ref"] == newest["id"]
    [link] = await shop.rows("SELECT * FROM resends")
    told = (str(link["notification_id"]), str(link["original_id"]), link["actor"], link["reason"])
    assert told == (copy["id"], original, WHO, "the customer deleted it")
    other = {"email": "sms", "sms": "email"}[channel]
    assert len(await shop.messages(other)) == 1


async def test_what_is_sent_again_has_the_same_retries_and_fails_after_them(shop: Shop, admin: str) -> None:
    original = await notification(shop, await delivered(shop), "email")
    await shop.fail("email", **DOWN, count=3)
    copy = await resent(shop, original, admin, {"reason": "once more"})
    await until_status(shop, copy["id"], "sent")
    await shop.fail("email", **DOWN)
    other = await resent(shop, original, admin, {"reason": "and again"})
    await until_status(shop, other["id"], "failed")
    for one, outcomes in ((copy, ["failed"] * 3 + ["accepted"]), (other, ["failed"] * 4)):
        answer = await shop.ask(f"/notifications/{one['id']}/attempts", admin)
        assert [each["outcome"] for each in answer["data"]] == outcomes
    assert (await shop.rows("SELECT count(*) FROM dead_letters"))[0][0] == 0


async def test_an_event_that_comes_again_leaves_what_was_sent_again_alone(shop: Shop, admin: str) -> None:
    order = shop.order()
    body = created(order)
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    copy = await resent(shop, await notification(shop, order, "sms"), admin, {"reason": "lost"})
    await shop.publish(body)
    await shop.until_verdicts(done=2)
    await until_status(shop, copy["id"], "sent")
    assert len(await shop.messages("sms")) == 2


async def test_what_is_still_on_its_way_is_not_sent_again(shop: Shop, admin: str) -> None:
    original = await notification(shop, await delivered(shop), "email")
    await shop.rows("UPDATE notifications SET status = 'queued', provider_ref = NULL, sent_at = NULL WHERE id = $1",
                    original)  # fmt: skip
    answer = await resent(shop, original, admin, {"reason": "impatient"}, expect=409)
    assert answer["type"] == "urn:shopflow:problem:notification-queued"
    assert await shop.rows("SELECT FROM resends") == []


async def test_only_an_admin_with_a_reason_sends_again(shop: Shop, admin: str) -> None:
    order = await delivered(shop)
    original = await notification(shop, order, "email")
    for body in ({}, {"reason": ""}, {"reason": None}, {"reason": "x" * 501}):
        await resent(shop, original, admin, body, expect=400)
    await resent(shop, str(uuid4()), admin, {"reason": "x"}, expect=404)
    await resent(shop, "1", admin, {"reason": "x"}, expect=400)
    for role in (Role.CUSTOMER, Role.SERVICE):
        await resent(shop, original, shop.auth.token(role, order.user_id), {"reason": "x"}, expect=403)
    assert len(await shop.messages("email")) == 1


async def test_what_was_recorded_before_a_crash_is_sent_after_it(shop: Shop) -> None:
    """As after a death between the record and the send: the row alone is enough."""
    original = await notification(shop, await delivered(shop), "sms")
    copy = str(uuid4())
    await shop.rows(
        """
        WITH stored AS (
            INSERT INTO notifications (id, user_id, order_id, channel, type, recipient, subject, body)
            SELECT $2, user_id, order_id, channel, type, recipient, subject, body FROM notifications WHERE id = $1
        ), delivery AS (INSERT INTO deliveries (notification_id) VALUES ($2))
        INSERT INTO resends (notification_id, original_id, actor, reason) VALUES ($2, $1, 'cli:jane', 'lost')
        """,
        original,
        copy,
    )
    await until_status(shop, copy, "sent")
    assert len(await shop.messages("sms")) == 2
