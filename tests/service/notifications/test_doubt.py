"""When nobody knows whether a provider took a message (D4): mail is sent again, an SMS only if it is not listed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.service.notifications.shop import Shop, created, until

from shopflow.kit.consumer import REASON
from shopflow.kit.service import Application
from shopflow.notifications.app import build
from shopflow.notifications.settings import Settings

BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}
SMS = "SELECT * FROM notifications WHERE channel = 'sms'"


@pytest.mark.row("P-10")
async def test_an_sms_that_was_taken_without_an_answer_is_found_in_the_list_and_not_sent_again(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("sms", "accept_then_drop", count=1)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=1)
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "queued"}
    await shop.hasten()
    await shop.until_verdicts(retry=1, done=1)
    [received] = await shop.messages("sms")
    [row] = await shop.rows(SMS)
    assert (row["status"], row["provider_ref"]) == ("sent", received["id"])
    assert row["sent_at"] is not None
    assert await shop.outcomes("sms") == ["in_doubt", "adopted"]
    assert (await shop.requests("sms"), await shop.requests("email")) == (1, 1)


LOST: list[dict[str, Any]] = [
    {"mode": "garbage"},
    {"mode": "error", "status": 500, "code": 99999},
    {"mode": "garbage", "status": 201, "body": "{}", "content_type": "application/json"},
]


@pytest.mark.parametrize("fault", LOST)
async def test_an_sms_in_doubt_that_is_not_listed_is_sent_again(shop: Shop, fault: dict[str, Any]) -> None:
    order = shop.order()
    await shop.fail("sms", **fault, count=1)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=1)
    await shop.hasten()
    await shop.until_verdicts(retry=1, done=1)
    assert await shop.states(order) == BOTH
    assert await shop.outcomes("sms") == ["in_doubt", "accepted"]
    assert len(await shop.messages("sms")) == 1


async def test_an_sms_in_doubt_rests_half_a_minute_from_the_beginning_of_its_attempt(shop: Shop) -> None:
    await shop.fail("sms", "accept_then_drop", count=1)
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(retry=1)
    [rest] = await shop.rows("""
        SELECT extract(epoch FROM free_at - started_at)::float8 AS seconds
        FROM deliveries JOIN attempts ON attempts.id = attempt_id
        WHERE free_at < 'infinity'
    """)
    assert rest["seconds"] == 30


async def test_a_message_of_another_order_is_not_taken_for_the_one_in_doubt(shop: Shop) -> None:
    customer = shop.customer()
    await shop.publish(created(shop.order(customer)))
    await shop.until_verdicts(done=1)
    second = shop.order(customer)
    await shop.fail("sms", "garbage", count=1)
    await shop.publish(created(second))
    await shop.until_verdicts(retry=1, done=1)
    await shop.hasten()
    await shop.until_verdicts(retry=1, done=2)
    assert await shop.states(second) == BOTH
    assert len(await shop.messages("sms")) == 2


async def test_an_sms_that_stays_in_doubt_is_looked_for_once_more_and_then_parked(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("sms", "garbage")
    await shop.publish(created(order))
    for number in range(1, 4):
        await shop.until_verdicts(retry=number)
        await shop.hasten()
    await shop.until_verdicts(retry=3, wait=1)
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "queued"}
    await shop.hasten()
    [parked] = await shop.parked()
    assert parked.headers[REASON] == "provider_failed"
    [row] = await shop.rows(SMS)
    assert (row["status"], row["error_message"][:10]) == ("failed", "not_listed")
    assert await shop.outcomes("sms") == ["in_doubt"] * 4 + ["failed"]
    assert await shop.requests("sms") == 4


async def test_an_sms_taken_without_an_answer_on_the_last_retry_is_sent_after_all(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("sms", "error", status=503, code=20503, count=3)
    await shop.fail("sms", "accept_then_drop", count=1)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=3, wait=1)
    await shop.hasten()
    await shop.until_verdicts(retry=3, wait=1, done=1)
    assert await shop.states(order) == BOTH
    assert len(await shop.messages("sms")) == 1


async def test_an_email_in_doubt_is_sent_again_at_the_next_retry(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("email", "accept_then_drop", count=1)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=1, done=1)
    assert await shop.states(order) == BOTH
    assert await shop.outcomes("email") == ["in_doubt", "accepted"]
    newest, first = await shop.messages("email")
    [row] = await shop.rows("SELECT provider_ref FROM notifications WHERE channel = 'email'")
    assert row["provider_ref"] == newest["id"] != first["id"]
    assert newest["tags"] == first["tags"]
    assert len(await shop.messages("sms")) == 1


@pytest.mark.row("P-5")
@pytest.mark.parametrize(("fault", "received"), [("accept_then_drop", 2), ("garbage", 0), ("refuse", 0)])
async def test_an_email_that_is_in_doubt_twice_has_failed_says_so_and_is_not_sent_a_third_time(
    shop: Shop, fault: str, received: int
) -> None:
    await shop.fail("email", fault)
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(retry=1, park=1)
    [parked] = await shop.parked()
    assert parked.headers[REASON] == "provider_failed"
    assert (await shop.requests("email"), len(await shop.messages("email"))) == (2, received)
    assert await shop.outcomes("email") == ["in_doubt", "in_doubt"]
    [row] = await shop.rows("SELECT status, error_message FROM notifications WHERE channel = 'email'")
    assert row["status"] == "failed"
    assert row["error_message"].startswith("it may have been sent: ")


async def test_an_attempt_that_died_with_its_process_is_in_doubt(shop: Shop) -> None:
    """The process is gone after Twilio took the SMS: what it leaves behind is an attempt without an end."""
    order = shop.order()
    body = created(order)
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    await shop.rows("""
        WITH undone AS (
            UPDATE notifications SET status = 'queued', provider_ref = NULL, sent_at = NULL RETURNING id
        ), unended AS (
            UPDATE attempts SET outcome = NULL, ended_at = NULL FROM undone WHERE notification_id = undone.id
        )
        UPDATE deliveries SET free_at = now() + interval '1 minute' FROM undone WHERE notification_id = undone.id
    """)
    await shop.publish(body)
    await shop.until_verdicts(done=1, wait=1)
    await shop.hasten()
    await shop.until_verdicts(done=2, wait=1)
    assert await shop.states(order) == BOTH
    assert await shop.outcomes("sms") == [None, "adopted"]
    assert await shop.outcomes("email") == [None, "accepted"]
    assert (len(await shop.messages("sms")), len(await shop.messages("email"))) == (1, 2)


async def test_where_doubtful_messages_are_kept_none_is_sent_again(
    settings: Settings, around: Shop, serving: Callable[[Application], Awaitable[str]]
) -> None:
    kept = build(replace(settings, email_in_doubt="keep", sms_in_doubt="keep"))
    shop = replace(around, url=await serving(kept))
    await shop.until_consuming()
    await shop.fail("email", "garbage")
    await shop.fail("sms", "garbage")
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(retry=1)
    await shop.hasten()
    await shop.until_verdicts(retry=1, park=1)
    rows = await shop.rows("SELECT status, split_part(error_message, ':', 1) FROM notifications ORDER BY channel")
    assert [tuple(row) for row in rows] == [("failed", "it may have been sent"), ("failed", "not_listed")]
    assert (await shop.requests("email"), await shop.requests("sms")) == (1, 1)


async def test_an_email_whose_process_died_twice_is_for_an_operator_who_may_send_it_once_more(shop: Shop) -> None:
    order = shop.order()
    body = created(order)
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    await shop.rows("""
        WITH undone AS (
            UPDATE notifications SET status = 'queued', provider_ref = NULL, sent_at = NULL WHERE channel = 'email'
            RETURNING id
        ), unended AS (
            UPDATE attempts SET outcome = NULL, ended_at = NULL FROM undone WHERE notification_id = undone.id
        ), another AS (
            INSERT INTO attempts (id, notification_id, last) SELECT gen_random_uuid(), id, false FROM undone
        )
        UPDATE deliveries SET free_at = now() FROM undone WHERE notification_id = undone.id
    """)
    await shop.publish(body)
    await shop.until_verdicts(done=1, park=1)
    assert await shop.requests("email") == 1
    [row] = await shop.rows("SELECT status, error_message FROM notifications WHERE channel = 'email'")
    assert tuple(row) == ("failed", "in_doubt: 2 e-mails may have been sent, of which nobody knows")
    [letter] = await shop.parked()
    await shop.rows("UPDATE deliveries SET exhausted = false, free_at = now() WHERE exhausted")
    await shop.rows("UPDATE notifications SET status = 'queued', error_message = NULL WHERE status = 'failed'")
    await shop.publish(letter.body)
    await shop.until_verdicts(done=2, park=1)
    assert await shop.states(order) == BOTH
    assert (await shop.requests("email"), len(await shop.messages("sms"))) == (2, 1)


async def test_two_handlers_of_an_event_in_doubt_send_one_sms(shop: Shop) -> None:
    order = shop.order()
    body = created(order)
    await shop.fail("sms", "garbage", count=1)
    await shop.publish(body)
    await shop.until_verdicts(retry=1)
    await shop.rows("UPDATE deliveries SET free_at = now() WHERE free_at < 'infinity'")
    await asyncio.gather(*(shop.publish(body) for _ in range(10)))

    async def handled() -> bool:
        return sum((await shop.verdicts()).values()) == 11

    await until(handled)
    assert len(await shop.messages("sms")) == 1
