"""What happens when a provider does not take a message: counted retries, uncounted waits, parking (PRD 5.1)."""

from typing import Any

import msgspec
import pytest
from tests.service.notifications.conftest import LADDER
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped, until

from shopflow.contracts.orders import Order
from shopflow.kit.consumer import ATTEMPT, REASON

DOWN: dict[str, Any] = {"mode": "error", "status": 503}
CODES = {"email": "ServiceUnavailable", "sms": 20503}


@pytest.mark.row("P-14", "P-8")
async def test_an_sms_that_fails_twice_goes_through_while_the_email_is_sent_once(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("sms", **DOWN, code=CODES["sms"], count=2)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=2, done=1)
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert (await shop.requests("email"), await shop.requests("sms")) == (1, 3)
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (1, 1)
    assert await shop.outcomes("sms") == ["failed", "failed", "accepted"]
    assert await shop.outcomes("email") == ["accepted"]


@pytest.mark.row("P-1")
@pytest.mark.parametrize("channel", ["email", "sms"])
async def test_a_message_may_go_through_on_the_last_of_four_attempts(shop: Shop, channel: str) -> None:
    order = shop.order()
    await shop.fail(channel, **DOWN, code=CODES[channel], count=3)
    await shop.publish(created(order))
    await shop.until_verdicts(retry=3, done=1)
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert await shop.outcomes(channel) == ["failed", "failed", "failed", "accepted"]


@pytest.mark.row("P-1", "P-14")
@pytest.mark.parametrize(
    ("make", "subscription", "key"),
    [(created, CREATED, "order.created.failed"), (shipped, SHIPPED, "order.shipped.failed")],
)
async def test_after_four_failures_the_event_is_parked_unchanged_and_the_notification_has_failed(
    shop: Shop, make: Any, subscription: Any, key: str
) -> None:
    order = shop.order()
    await shop.fail("email", **DOWN, code=CODES["email"])
    body = msgspec.json.encode(make(order)) + b"  \n"
    await shop.publish(body, key=subscription.routing_key, headers={"own": "header"}, message_id="m-1")
    [parked] = await shop.parked()
    assert (parked.body, parked.routing_key, parked.message_id) == (body, key, "m-1")
    assert (parked.headers["own"], parked.headers[ATTEMPT], parked.headers[REASON]) == ("header", 3, "provider_failed")
    await shop.until_verdicts(subscription.queue, retry=3, park=1)
    [email] = await shop.rows("SELECT * FROM notifications WHERE channel = 'email'")
    assert (email["status"], email["provider_ref"], email["sent_at"]) == ("failed", None, None)
    assert email["error_message"].startswith("ServiceUnavailable: 503")
    assert await shop.requests("email") == 4
    assert (await shop.requests("sms"), len(await shop.messages("sms"))) == (1, 1)


async def test_a_parked_event_that_comes_again_is_parked_again_and_sends_nothing(shop: Shop) -> None:
    """As after a death between recording the failure and parking the event."""
    await shop.fail("email", **DOWN, code=CODES["email"])
    body = created(shop.order())
    await shop.publish(body)
    await shop.parked()
    await shop.publish(body)
    [parked] = await shop.parked()
    assert parked.headers[REASON] == "provider_failed"
    assert (await shop.requests("email"), await shop.requests("sms")) == (4, 1)


async def test_a_forged_count_of_attempts_gives_no_more_than_one_ladder(shop: Shop) -> None:
    await shop.fail("email", **DOWN, code=CODES["email"])
    forged: list[dict[str, Any]] = [
        {ATTEMPT: -1}, {ATTEMPT: 10**9}, {ATTEMPT: "two"}, {ATTEMPT: 1.5}, {"x-death": [{"count": 99}]},
    ]  # fmt: skip
    for headers in forged:
        await shop.publish(created(shop.order()), headers=headers)
    parked = await shop.parked(len(forged))
    assert [each.headers[ATTEMPT] for each in parked] == [3] * len(forged)
    assert await shop.requests("email") == 4 * len(forged)


PERMANENT: dict[str, list[dict[str, Any]]] = {
    "sms": [{"status": 400, "code": code} for code in (21211, 21408, 21610, 21614, 21617)],
    "email": [
        {"status": 400, "code": "MessageRejected", "message": "Email contains a virus"},
        {"status": 400, "code": "BadRequestException", "message": "Illegal address"},
    ],
}


@pytest.mark.row("P-3", "P-7")
@pytest.mark.parametrize("channel", PERMANENT)
async def test_what_the_provider_will_never_take_has_failed_at_once_and_is_not_parked(shop: Shop, channel: str) -> None:
    other = "sms" if channel == "email" else "email"
    for number, fault in enumerate(PERMANENT[channel], start=1):
        order = shop.order()
        await shop.fail(channel, "error", **fault, count=1)
        await shop.publish(created(order))
        await shop.until_verdicts(done=number)
        assert await shop.states(order) == {f"order_created.{channel}": "failed", f"order_created.{other}": "sent"}
        assert await shop.requests(channel) == number
        [row] = await shop.rows(
            "SELECT error_message FROM notifications WHERE status = 'failed' AND order_id = $1", order.id
        )
        assert row["error_message"].startswith(f"{fault['code']}: ")


UNUSABLE = [
    ("sms", {"mode": "error", "status": 401, "code": 20003}),
    ("sms", {"mode": "throttle"}),
    ("email", {"mode": "error", "status": 400, "code": "SendingPausedException"}),
    ("email", {"mode": "throttle"}),
]


@pytest.mark.parametrize(("channel", "fault"), UNUSABLE)
async def test_a_channel_that_nobody_can_use_now_is_waited_for_uncounted(
    shop: Shop, channel: str, fault: dict[str, Any]
) -> None:
    order = shop.order()
    await shop.fail(channel, **fault)
    await shop.publish(created(order))
    for number in range(1, 6):
        await shop.until_verdicts(wait=number)
        assert (await shop.states(order))[f"order_created.{channel}"] == "queued"
        if number < 5:
            await shop.hasten()
    await shop.heal()
    await shop.until_all_are_sent()
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (1, 1)


async def test_an_uncounted_wait_keeps_the_count_of_attempts(shop: Shop) -> None:
    await shop.fail("sms", **DOWN, code=CODES["sms"], count=2)
    await shop.fail("sms", "throttle", count=1)
    await shop.publish(created(shop.order()))
    await shop.until_verdicts(retry=2, wait=1)
    [delivery] = await shop.rows("SELECT tries FROM deliveries WHERE free_at < 'infinity'")
    assert delivery["tries"] == 2


@pytest.mark.row("P-1", "P-14")
async def test_each_channel_has_its_own_four_attempts_however_the_other_one_fares(shop: Shop) -> None:
    """The e-mails rest while the SMS has its retries; afterwards the e-mail has all of its own."""
    order = shop.order()
    await shop.fail("sms", **DOWN, code=CODES["sms"], count=3)
    await shop.fail("email", "throttle")
    await shop.publish(created(order))
    await shop.until_verdicts(retry=3, wait=1)
    assert await shop.states(order) == {"order_created.email": "queued", "order_created.sms": "sent"}
    for number in range(2, 6):
        await shop.hasten()
        await shop.until_verdicts(retry=3, wait=number)
    await shop.heal()
    await until(lambda: _mails_go_out(shop))
    await shop.fail("email", **DOWN, code=CODES["email"], count=3)
    await shop.hasten()
    await until(lambda: _is_sent(shop, order, "email"))
    assert await shop.outcomes("sms") == ["failed", "failed", "failed", "accepted"]
    [failures] = await shop.rows("SELECT count(*) FROM attempts WHERE code = $1", CODES["email"])
    assert failures["count"] == 3
    assert (len(await shop.messages("sms")), "park" in await shop.verdicts()) == (1, False)


async def _mails_go_out(shop: Shop) -> bool:
    """Whether the channel is found to be open again; what is not due before half a minute stays behind ours."""
    await shop.publish(created(shop.order(shop.customer(phone=None))))
    async with shop.http.get(f"{shop.url}/ready") as answer:
        return bool((await answer.json())["status"] == "ok")


async def _is_sent(shop: Shop, order: Order, channel: str) -> bool:
    return (await shop.states(order)).get(f"order_created.{channel}") == "sent"


async def test_only_the_channel_that_is_due_is_tried_each_at_its_own_times(shop: Shop) -> None:
    """An SMS in doubt is due after half a minute, an e-mail that failed after its ladder's delays."""
    order = shop.order()
    await shop.fail("sms", "garbage", count=1)
    await shop.fail("sms", **DOWN, code=CODES["sms"], count=2)
    await shop.fail("email", **DOWN, code=CODES["email"], count=3)
    await shop.publish(created(order))

    await until(lambda: _is_sent(shop, order, "email"))
    assert (await shop.requests("email"), await shop.requests("sms")) == (4, 1)
    assert all(0 <= late < 5 for late in await lateness(shop, "email"))
    await shop.until_all_are_sent()
    assert (await shop.requests("email"), await shop.requests("sms")) == (4, 4)
    assert await shop.outcomes("sms") == ["in_doubt", "failed", "failed", "accepted"]
    assert "park" not in await shop.verdicts()


async def lateness(shop: Shop, channel: str) -> list[float]:
    """By how many seconds each retry on a channel came after its delay was over."""
    statement = """
        SELECT extract(epoch FROM started_at - lag(ended_at) OVER (ORDER BY started_at))::float8 AS gap
        FROM attempts JOIN notifications ON notifications.id = notification_id WHERE channel = $1 ORDER BY started_at
    """
    gaps = [row["gap"] for row in await shop.rows(statement, channel)][1:]
    return [gap - float(delay) for gap, delay in zip(gaps, LADDER.split(","), strict=True)]


async def test_what_failed_for_good_is_parked_once_the_other_channel_is_through(shop: Shop) -> None:
    order = shop.order()
    await shop.fail("email", **DOWN, code=CODES["email"])
    await shop.fail("sms", "throttle")
    await shop.publish(created(order))
    await shop.until_verdicts(retry=3, wait=1)
    assert await shop.states(order) == {"order_created.email": "failed", "order_created.sms": "queued"}
    await shop.heal()
    await shop.until_all_are_sent(but=1)
    [parked] = await shop.parked()
    assert parked.headers[REASON] == "provider_failed"
    assert await shop.states(order) == {"order_created.email": "failed", "order_created.sms": "sent"}


async def test_a_failing_message_does_not_hold_up_the_others(shop: Shop) -> None:
    await shop.fail("sms", **DOWN, code=CODES["sms"], to="+15557654321")
    unlucky = shop.order(shop.customer(phone="+15557654321"))
    await shop.publish(created(unlucky))
    others = [shop.order() for _ in range(20)]
    for order in others:
        await shop.publish(created(order))
    await shop.parked()

    async def all_sent() -> bool:
        states = [await shop.states(order) for order in others]
        return all(each == {"order_created.email": "sent", "order_created.sms": "sent"} for each in states)

    await until(all_sent)
