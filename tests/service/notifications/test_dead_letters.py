"""Parked messages: kept in a table, read and dealt with by admins, replayed so that only what was not sent is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import aio_pika
import asyncpg
import msgspec
import pytest
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped, until

from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Order
from shopflow.contracts.topology import DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, PAUSE_DELAY
from shopflow.kit.consumer import ATTEMPT, REASON
from shopflow.kit.service import Application
from shopflow.notifications.app import build
from shopflow.notifications.settings import Settings

PATH = "/notifications/dead-letters"
DOWN: dict[str, Any] = {"mode": "error", "status": 503, "code": "ServiceUnavailable"}
BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}
EMAIL_FAILED = {"order_created.email": "failed", "order_created.sms": "sent"}

Serve = Callable[[Application], Awaitable[str]]


@pytest.fixture
def admin(shop: Shop) -> str:
    """An admin's token."""
    return shop.auth.token(Role.ADMIN, "1b2c3d4e-f5a6-7890-abcd-ef1234567890")


async def act(shop: Shop, path: str, token: str, body: Any, *, expect: int) -> Any:
    """The answer of POST, whose status must be `expect`."""
    headers = {"Authorization": f"Bearer {token}"}
    async with shop.http.post(f"{shop.url}{PATH}{path}", json=body, headers=headers) as response:
        assert response.status == expect, await response.text()
        return await response.json(content_type=None) if expect != 204 else None


async def park(shop: Shop, body: bytes, *, reason: str = "provider_failed", key: str = CREATED.dead_letter_key) -> None:
    """Puts a message into the parking queue, as the consumer does."""
    exchange = await shop.broker.get_exchange(DEAD_LETTER_EXCHANGE, ensure=False)
    message = aio_pika.Message(body, headers={ATTEMPT: 3, REASON: reason}, message_id=str(uuid4()))
    await exchange.publish(message, key)


async def listed(shop: Shop, admin: str, number: int = 1, **query: Any) -> list[dict[str, Any]]:
    """So many parked messages, waited for."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = (await shop.ask(PATH, admin, params=query))["data"]
        return len(found) == number

    await until(there)
    return found


async def failed(shop: Shop, admin: str) -> tuple[Order, dict[str, Any]]:
    """An order whose e-mail failed four times while its SMS went out, and its parked event; the provider is back."""
    order = shop.order()
    await shop.fail("email", **DOWN)
    await shop.publish(created(order))
    [letter] = await listed(shop, admin, order_id=order.id)
    await shop.heal()
    assert await shop.states(order) == EMAIL_FAILED
    return order, letter


async def sent(shop: Shop, order: Order, states: dict[str, str] = BOTH) -> None:
    """Waits until everything of an order is sent."""

    async def there() -> bool:
        return await shop.states(order) == states

    await until(there)


async def actions(shop: Shop, admin: str, letter: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What was done about a message: action, actor, reason, whether the broker has it."""
    detail = await shop.ask(f"{PATH}/{letter['id']}", admin)
    return [(a["action"], a["actor"], a["reason"], a["confirmed_at"] is not None) for a in detail["actions"]]


async def test_a_parked_message_is_kept_with_its_bytes_and_why(shop: Shop, admin: str) -> None:
    order = shop.order()
    body = created(order, version="2.0")
    raw = msgspec.json.encode(body) + b" \n"
    await shop.publish(raw, message_id="m-1", headers={"own": "header", "raw": bytearray(b"\xff")})
    [letter] = await listed(shop, admin)
    assert letter == {
        "id": letter["id"],
        "parked_at": letter["parked_at"],
        "state": "open",
        "reason": "unreadable: unknown-version",
        "attempts": 1,
        "times": 1,
        "queue": CREATED.queue,
        "routing_key": CREATED.dead_letter_key,
        "message_id": "m-1",
        "event_id": body["event_id"],
        "event_type": "OrderCreated",
        "order_id": order.id,
        "user_id": order.user_id,
        "size": len(raw),
    }
    detail = await shop.ask(f"{PATH}/{letter['id'].upper()}", admin)
    assert {name: detail[name] for name in letter} == letter
    assert (detail["body"], detail["encoding"], detail["truncated"]) == (raw.decode(), "utf-8", False)
    assert (detail["headers"]["own"], detail["headers"]["raw"]) == ("header", {"$base64": "/w=="})
    assert detail["actions"] == []
    assert await shop.waiting(DEAD_LETTER_QUEUE) == 0


async def test_bytes_that_are_no_text_and_bodies_that_are_too_long_are_shown_as_far_as_can_be(
    shop: Shop, admin: str
) -> None:
    for body, shown in (
        (b"\xff\xfe\x00", ("//4A", "base64", False)),
        ("é".encode() * 40_000, ("é" * 32_768, "utf-8", True)),
        (b"x" + "é".encode() * 40_000, ("x" + "é" * 32_767, "utf-8", True)),
        (b"", ("", "utf-8", False)),
    ):
        await park(shop, body, reason=f"of {len(body)} bytes")
        [letter] = await listed(shop, admin, reason=f"of {len(body)} bytes")
        detail = await shop.ask(f"{PATH}/{letter['id']}", admin)
        assert (detail["body"], detail["encoding"], detail["truncated"]) == shown
        assert (letter["event_id"], letter["order_id"], letter["size"]) == (None, None, len(body))


async def test_lists_are_narrowed_paged_and_walked(shop: Shop, admin: str) -> None:
    orders = [shop.order() for _ in range(3)]
    await park(shop, msgspec.json.encode(created(orders[0])), reason="provider_failed")
    await park(shop, msgspec.json.encode(created(orders[1])), reason="order_not_found")
    await park(shop, msgspec.json.encode(shipped(orders[2])), reason="order_not_found", key=SHIPPED.dead_letter_key)
    everything = await listed(shop, admin, 3)
    middle = everything[1]["parked_at"]
    for query, wanted in (
        ({"reason": "order_not_found"}, 2),
        ({"event_type": "OrderShipped"}, 1),
        ({"order_id": orders[0].id}, 1),
        ({"order_id": orders[0].id, "reason": "order_not_found"}, 0),
        ({"state": "open"}, 3),
        ({"state": "discarded"}, 0),
        ({"parked_from": "2000-01-01T00:00:00Z"}, 3),
        ({"parked_to": "2000-01-01T00:00:00Z"}, 0),
        ({"parked_from": middle, "limit": "1"}, 1),
        ({"page": "2", "limit": "2"}, 1),
        ({"page": "9"}, 0),
    ):
        assert len(await listed(shop, admin, wanted, **query)) == wanted, query
    walked: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await shop.ask(PATH, admin, params={"cursor": cursor, "limit": 2})
        walked += answer["data"]
        cursor = answer["next_cursor"]
    assert walked == everything


async def test_what_breaks_a_rule_is_named(shop: Shop, admin: str) -> None:
    for name, value in (
        ("state", "lost"), ("order_id", "1"), ("parked_from", "yesterday"), ("parked_to", "2026-02-17"), ("page", "0"),
        ("limit", "101"), ("cursor", "x"), ("reason", "x" * 501),
    ):  # fmt: skip
        answer = await shop.ask(PATH, admin, expect=400, params={name: value})
        assert [each["field"] for each in answer["errors"]] == [name]
    await shop.ask(f"{PATH}/1", admin, expect=400)
    await shop.ask(f"{PATH}/{uuid4()}", admin, expect=404)
    for path, body in (
        ("/1/replay", {}), ("/1/discard", {}), (f"/{uuid4()}/replay", {"reason": ""}),
        (f"/{uuid4()}/discard", {"reason": "x" * 501}), ("/replay", {}), ("/replay", {"filter": None}),
        ("/replay", {"filter": {"order_id": "1"}}), ("/replay", {"filter": {"parked_from": "yesterday"}}),
    ):  # fmt: skip
        await act(shop, path, admin, body, expect=400)
    for action in ("replay", "discard"):
        answer = await act(shop, f"/{uuid4()}/{action}", admin, {}, expect=404)
        assert answer["type"] == "urn:shopflow:problem:dead-letter-not-found"


async def test_a_body_may_be_left_out(shop: Shop, admin: str) -> None:
    await park(shop, b"{")
    [letter] = await listed(shop, admin)
    headers = {"Authorization": f"Bearer {admin}"}
    for action, status in (("replay", 202), ("discard", 204)):
        await shop.rows("UPDATE dead_letters SET state = 'open'")
        async with shop.http.post(f"{shop.url}{PATH}/{letter['id']}/{action}", headers=headers) as answer:
            assert answer.status == status, await answer.text()


async def test_only_admins_come_near(shop: Shop) -> None:
    one = f"/{uuid4()}"
    for role in (Role.CUSTOMER, Role.SERVICE):
        token = shop.auth.token(role)
        await shop.ask(PATH, token, expect=403)
        await shop.ask(PATH + one, token, expect=403)
        for path in (f"{one}/replay", f"{one}/discard", "/replay"):
            await act(shop, path, token, {}, expect=403)
    await shop.ask(PATH, None, expect=401)


async def test_the_same_message_parked_twice_is_one_row(shop: Shop, admin: str) -> None:
    """K-14: a death between the copy and the acknowledgement parks a message twice."""
    exchange = await shop.broker.get_exchange(DEAD_LETTER_EXCHANGE, ensure=False)
    for _ in range(3):
        message = aio_pika.Message(b"{", headers={REASON: "provider_failed"}, message_id="m-1")
        await exchange.publish(message, CREATED.dead_letter_key)
    await exchange.publish(aio_pika.Message(b"[", message_id="m-1"), CREATED.dead_letter_key)
    letters = await listed(shop, admin, 2)

    async def all_kept() -> bool:
        letters[:] = await listed(shop, admin, 2)
        return sum(int(each["times"]) for each in letters) == 4

    await until(all_kept)
    assert {(each["reason"], each["attempts"], each["times"]) for each in letters} == {
        ("provider_failed", 0, 3),
        ("unknown", 0, 1),
    }


async def test_a_message_stays_in_the_queue_until_its_row_is_committed(shop: Shop, admin: str) -> None:
    connection = await asyncpg.connect(shop.database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
            await park(shop, b"{")
            await shop.until_metric('shopflow_broker_connected{link="dead-letters"} 1.0')
    finally:
        await connection.close()
    [letter] = await listed(shop, admin)
    assert letter["size"] == 1


@pytest.mark.row("E-15", "P-1")
async def test_a_replay_sends_what_was_not_sent_and_a_second_one_nothing(shop: Shop, admin: str) -> None:
    order, letter = await failed(shop, admin)
    assert (letter["reason"], letter["attempts"]) == ("provider_failed", 4)
    await act(shop, f"/{letter['id']}/replay", admin, {"reason": "SES is back"}, expect=202)
    await sent(shop, order)
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (1, 1)
    before = await shop.verdicts()
    await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)
    await until(lambda: _done_once_more(shop, before))
    assert (await shop.requests("email"), await shop.requests("sms")) == (5, 1)
    [after] = await listed(shop, admin, order_id=order.id)
    assert after["state"] == "replayed"
    who = "1b2c3d4e-f5a6-7890-abcd-ef1234567890"
    assert await actions(shop, admin, letter) == [("replay", who, "SES is back", True), ("replay", who, None, True)]


async def _done_once_more(shop: Shop, before: dict[str, int]) -> bool:
    done = (await shop.verdicts()).get("done", 0)
    return done == before.get("done", 0) + 1


async def test_a_replay_gives_what_failed_a_fresh_ladder(shop: Shop, admin: str) -> None:
    order, letter = await failed(shop, admin)
    await shop.fail("email", **DOWN, count=3)
    await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)
    await sent(shop, order)
    assert (await shop.requests("email"), await shop.requests("sms")) == (8, 1)


@pytest.mark.row("E-15")
async def test_a_replay_during_a_ladder_sends_once(shop: Shop, admin: str) -> None:
    order = shop.order()
    body = msgspec.json.encode(created(order))
    await shop.fail("email", **DOWN, count=2)
    await park(shop, body, reason="a copy of what is on its way")
    [letter] = await listed(shop, admin)
    await shop.publish(body)
    for _ in range(5):
        await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)
    await sent(shop, order)

    async def settled() -> bool:
        paused = await shop.waiting(CREATED.wait_queue(PAUSE_DELAY))
        return (await shop.verdicts()).get("done", 0) == 6 - paused

    await until(settled)
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (1, 1)


async def test_what_fails_again_is_open_again(shop: Shop, admin: str) -> None:
    order, letter = await failed(shop, admin)
    await shop.fail("email", **DOWN)
    await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)

    async def parked_again() -> bool:
        [now] = await listed(shop, admin)
        return (now["id"], now["state"], now["times"]) == (letter["id"], "open", 2)

    await until(parked_again)
    assert await shop.states(order) == EMAIL_FAILED


async def test_what_the_provider_refused_for_good_is_not_tried_again(shop: Shop, admin: str) -> None:
    order = shop.order()
    await shop.fail("email", mode="error", status=400, code="MessageRejected")
    await shop.fail("sms", mode="error", status=503, code=20503)
    await shop.publish(created(order))
    [letter] = await listed(shop, admin)
    await shop.heal()
    [told] = (await act(shop, "/replay", admin, {"filter": {}, "dry_run": True}, expect=200))["would_send"]
    assert told["channels"] == ["sms"]
    await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)
    await sent(shop, order, {"order_created.email": "failed", "order_created.sms": "sent"})
    assert (await shop.requests("email"), await shop.requests("sms")) == (1, 5)


async def test_several_are_replayed_by_a_filter_and_a_dry_run_only_tells(shop: Shop, admin: str) -> None:
    order, letter = await failed(shop, admin)
    unknown = shop.order()
    await park(shop, msgspec.json.encode(created(unknown)), reason="order_not_found")
    await park(shop, b"{", reason="unreadable: malformed-json")
    await listed(shop, admin, 3)
    told = await act(shop, "/replay", admin, {"filter": {}, "dry_run": True}, expect=200)
    assert (told["matched"], told["replayed"]) == (3, 0)
    assert [each["channels"] for each in told["would_send"]] == [["email"], None, None]
    assert told["would_send"][0] == {
        "id": letter["id"],
        "event_id": letter["event_id"],
        "order_id": order.id,
        "reason": "provider_failed",
        "channels": ["email"],
    }
    assert await shop.states(order) == EMAIL_FAILED
    nothing = await act(shop, "/replay", admin, {"filter": {"event_type": "OrderShipped"}}, expect=200)
    assert nothing == {"matched": 0, "replayed": 0}
    some = {"filter": {"parked_from": "2000-01-01T00:00:00Z", "event_type": "OrderCreated"}, "reason": "mended"}
    assert await act(shop, "/replay", admin, some, expect=200) == {"matched": 2, "replayed": 2}
    await sent(shop, order)
    await sent(shop, unknown)
    [left] = await listed(shop, admin, state="open")
    assert left["reason"] == "unreadable: malformed-json"
    assert await act(shop, "/replay", admin, some, expect=200) == {"matched": 0, "replayed": 0}


async def test_a_message_is_discarded_with_a_reason_and_stays_readable(shop: Shop, admin: str) -> None:
    order, letter = await failed(shop, admin)
    for reason in ("a test order", "again"):
        await act(shop, f"/{letter['id']}/discard", admin, {"reason": reason}, expect=204)
    [discarded] = await listed(shop, admin, state="discarded")
    who = "1b2c3d4e-f5a6-7890-abcd-ef1234567890"
    assert await actions(shop, admin, discarded) == [("discard", who, "a test order", False)]
    assert (await act(shop, "/replay", admin, {"filter": {}}, expect=200))["matched"] == 0
    await act(shop, f"/{letter['id']}/replay", admin, {}, expect=202)
    await sent(shop, order)
    answer = await act(shop, f"/{letter['id']}/discard", admin, {}, expect=409)
    assert answer["type"] == "urn:shopflow:problem:dead-letter-replayed"


async def test_what_a_stranger_parked_under_another_key_cannot_be_replayed(shop: Shop, admin: str) -> None:
    await park(shop, b"hello", key="order.eaten.failed")
    [letter] = await listed(shop, admin)
    assert letter["queue"] is None
    answer = await act(shop, f"/{letter['id']}/replay", admin, {}, expect=409)
    assert answer["type"] == "urn:shopflow:problem:dead-letter-without-queue"
    assert await actions(shop, admin, letter) == []


async def test_a_replay_that_the_broker_does_not_take_leaves_the_message_open(shop: Shop, admin: str) -> None:
    await park(shop, msgspec.json.encode(created(shop.order())), key=SHIPPED.dead_letter_key)
    [letter] = await listed(shop, admin)
    await shop.rows("UPDATE dead_letters SET routing_key = $1", CREATED.dead_letter_key)
    await shop.broker.queue_delete(CREATED.queue)
    answer = await act(shop, f"/{letter['id']}/replay", admin, {}, expect=503)
    assert answer["type"] == "urn:shopflow:problem:broker-unavailable"
    [left] = await listed(shop, admin)
    assert (left["state"], {each[3] for each in await actions(shop, admin, letter)} - {False}) == ("open", set())

    async def replayed() -> bool:
        answer = await act(shop, "/replay", admin, {"filter": {}}, expect=200)
        return bool(answer["replayed"])

    await shop.until_consuming()
    await until(replayed)


@pytest.mark.row("D-13")
@pytest.mark.parametrize("neighbour", ["auth", "orders"])
async def test_what_a_neighbours_absence_parked_goes_out_by_itself_when_it_is_back(
    around: Shop, settings: Settings, serving: Serve, neighbour: str
) -> None:
    shop = replace(around, url=await serving(build(replace(settings, replay_interval=0.1))))
    admin = shop.auth.token(Role.ADMIN)
    await shop.until_consuming()
    order, missing = shop.order(), shop.order()
    del shop.orders.orders[missing.id]
    await shop.publish(created(missing))
    await listed(shop, admin)
    getattr(shop, neighbour).status = 503
    await shop.publish(created(order))
    [letter] = await listed(shop, admin, reason="dependency_unavailable")
    assert letter["attempts"] == 4
    getattr(shop, neighbour).status = None
    await sent(shop, order)

    async def replayed() -> bool:
        return len(await listed(shop, admin, state="replayed")) == 1

    await until(replayed)
    assert (await actions(shop, admin, letter))[0] == ("replay", "auto-replay", "the neighbours answer again", True)
    [left] = await listed(shop, admin, state="open")
    assert (left["reason"], left["order_id"]) == ("order_not_found", missing.id)
    await shop.until_metric("shopflow_dead_letters_open 1.0")
    await shop.until_metric("shopflow_dead_letters_resumed_total 1.0")
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (1, 1)


async def test_one_message_whose_question_always_fails_holds_up_no_other(
    around: Shop, settings: Settings, serving: Serve
) -> None:
    shop = replace(around, url=await serving(build(replace(settings, replay_interval=0.1))))
    admin = shop.auth.token(Role.ADMIN)
    await shop.until_consuming()
    poison, good = shop.order(), shop.order()
    cast("dict[str, Any]", shop.orders.orders)[poison.id] = {"id": 1}
    await shop.publish(created(poison))
    await listed(shop, admin, reason="dependency_unavailable")
    shop.orders.status = 503
    await shop.publish(created(good))
    await listed(shop, admin, 2, reason="dependency_unavailable")
    shop.orders.status = None
    await sent(shop, good)
    [left] = await listed(shop, admin, state="open")
    assert (left["order_id"], left["times"]) == (poison.id, 1)


async def test_two_instances_share_what_is_parked_and_send_each_of_it_once(
    around: Shop, settings: Settings, serving: Serve
) -> None:
    settings = replace(settings, replay_interval=0.1)
    first, second = [replace(around, url=await serving(build(settings))) for _ in range(2)]
    await asyncio.gather(first.until_consuming(), second.until_consuming())
    admin = first.auth.token(Role.ADMIN)
    first.auth.status = 503
    orders = [first.order() for _ in range(12)]
    for order in orders:
        await first.publish(created(order))
    await listed(first, admin, 12, reason="dependency_unavailable")
    first.auth.status = None
    for order in orders:
        await sent(first, order)
    await listed(first, admin, 12, state="replayed")
    assert (len(await first.messages("email")), len(await first.messages("sms"))) == (12, 12)
    assert sum([(await each.verdicts()).get("park", 0) for each in (first, second)]) >= 12
