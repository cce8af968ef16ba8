"""Events that cannot be handled and neighbours that cannot be asked: what is parked, tried again, waited for."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped

from shopflow.contracts.orders import Order
from shopflow.contracts.topology import PAUSE_DELAY
from shopflow.kit.consumer import ATTEMPT, REASON

BOTH = {"order_created.email": "sent", "order_created.sms": "sent"}


def _without(name: str) -> Callable[[Order], bytes]:
    def make(order: Order) -> bytes:
        return msgspec.json.encode({key: value for key, value in created(order).items() if key != name})

    return make


UNREADABLE: dict[str, Callable[[Order], bytes]] = {
    "empty": lambda _: b"",
    "not JSON": lambda _: b"hello",
    "not UTF-8": lambda order: msgspec.json.encode(created(order)).replace(b"Springfield", b"Spring\xff"),
    "UTF-16": lambda order: msgspec.json.encode(created(order)).decode().encode("utf-16"),
    "a byte-order mark": lambda order: b"\xef\xbb\xbf" + msgspec.json.encode(created(order)),
    "cut off": lambda order: msgspec.json.encode(created(order))[:-10],
    "two documents": lambda order: msgspec.json.encode(created(order)) * 2,
    "an array": lambda _: b"[]",
    "a string": lambda _: b'"OrderCreated"',
    "null": lambda _: b"null",
    "a number": lambda _: b"7",
    "UTF-16 without a mark": lambda order: msgspec.json.encode(created(order)).decode().encode("utf-16-le"),
    "nested too deeply": lambda _: b"[" * 100_000,
    "nested too deeply inside": lambda order: (
        msgspec.json.encode(created(order))[:-1] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    "a level too deep inside": lambda order: (
        msgspec.json.encode(created(order))[:-1] + b',"more":' + b"[" * 32 + b"]" * 32 + b"}"
    ),
    "ten megabytes beside a whole event": lambda order: (
        msgspec.json.encode(created(order))[:-1] + b',"more":[' + b"{}," * 3_300_000 + b"{}]}"
    ),
    "an id twice": lambda order: msgspec.json.encode(created(order))[:-1] + f',"event_id":"{uuid4()}"}}'.encode(),
    "an order id twice in the payload": lambda order: msgspec.json.encode(created(order)).replace(
        b'"payload":{', f'"payload":{{"order_id":"{uuid4()}",'.encode()
    ),
    "a member twice that nobody reads": lambda order: msgspec.json.encode(created(order))[:-1] + b',"x":1,"x":1}',
    "a NUL in a member that nobody reads": lambda order: msgspec.json.encode(created(order))[:-1] + b',"x":"\\u0000"}',
    "half a character in a name": lambda order: msgspec.json.encode(created(order))[:-1] + b',"\\udc00":1}',
    "a number without end": lambda order: msgspec.json.encode(created(order))[:-1] + b',"x":' + b"9" * 500_000 + b"}",
    "ten megabytes of nothing": lambda _: b'"' + b"x" * 10_000_000 + b'"',
    "without a payload": _without("payload"),
    "without an id": _without("event_id"),
    "without a version": _without("version"),
    "a payload of the wrong kind": lambda order: msgspec.json.encode(created(order) | {"payload": "order"}),
    "version 2.0": lambda order: msgspec.json.encode(created(order, version="2.0")),
    "version 10.0": lambda order: msgspec.json.encode(created(order, version="10.0")),
    "a number as version": lambda order: msgspec.json.encode(created(order, version=1)),
    "an unknown type": lambda order: msgspec.json.encode(created(order, event_type="OrderEaten")),
    "the other queue's type": lambda order: msgspec.json.encode(shipped(order)),
    "another event's payload": lambda order: msgspec.json.encode(
        created(order) | {"payload": shipped(order)["payload"]}
    ),
    "an id that is none": lambda order: msgspec.json.encode(created(order, event_id="1")),
    "an order id that is a path": lambda order: msgspec.json.encode(created(order, order_id="../../auth/users")),
    "an order id with a line's end": lambda order: msgspec.json.encode(created(order, order_id=f"{order.id}\n")),
    "an order id in braces": lambda order: msgspec.json.encode(created(order, order_id=f"{{{order.id}}}")),
    "a user id that is a number": lambda order: msgspec.json.encode(created(order, user_id=7)),
    "a NUL": lambda order: msgspec.json.encode(created(order)).replace(b"Springfield", b"Spring\\u0000field"),
    "half a character": lambda order: msgspec.json.encode(created(order)).replace(b"Springfield", b"\\ud800"),
    "an amount as text": lambda order: msgspec.json.encode(created(order, total_amount="lots")),
    "an amount that is none": lambda order: msgspec.json.encode(created(order)).replace(b"112.97", b"NaN"),
    "an amount beyond all": lambda order: msgspec.json.encode(created(order)).replace(b"112.97", b"1e400"),
    "a count that is none": lambda order: msgspec.json.encode(created(order, items_count=1.5)),
}


@pytest.mark.row("E-4", "E-5", "E-9", "E-10", "E-11")
async def test_what_cannot_be_read_is_parked_at_once_while_its_neighbours_flow(shop: Shop) -> None:
    bad = {name: make(shop.order()) for name, make in UNREADABLE.items()}
    good = []
    for body in bad.values():
        await shop.publish(body)
        good.append(shop.order())
        await shop.publish(created(good[-1]))
    parked = await shop.parked(len(bad))
    assert {each.body for each in parked} == set(bad.values())
    names = {body: name for name, body in bad.items()}
    reasons = {names[each.body]: (each.headers[REASON], each.headers[ATTEMPT]) for each in parked}
    unexpected = {name: reason for name, reason in reasons.items() if not _at_once(*reason)}
    assert unexpected == {}
    assert {each.routing_key for each in parked} == {CREATED.dead_letter_key}
    await shop.until_verdicts(park=len(bad), done=len(good))
    assert [await shop.states(order) for order in good] == [BOTH] * len(good)
    asked = {path for path, _ in [*shop.orders.asked, *shop.auth.asked]}
    assert all(re.fullmatch(r"/(orders|auth/users)/[0-9a-f-]{36}", path) for path in asked)


def _at_once(reason: object, attempt: object) -> bool:
    return attempt == 0 and (str(reason).startswith("unreadable: ") or reason == "invalid-request")


async def test_an_event_on_the_wrong_queue_is_parked(shop: Shop) -> None:
    await shop.publish(created(shop.order()), key=SHIPPED.routing_key)
    [parked] = await shop.parked()
    assert (parked.routing_key, parked.headers[REASON]) == ("order.shipped.failed", "unreadable: unexpected-type")


async def test_an_event_without_an_order_is_parked_with_the_reason(shop: Shop) -> None:
    order = shop.order()
    del shop.orders.orders[order.id]
    await shop.publish(created(order))
    [parked] = await shop.parked()
    assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("order_not_found", 0)
    assert await shop.rows("SELECT FROM inbox") == []
    assert await shop.messages() == []


async def test_an_event_about_somebody_elses_order_is_parked(shop: Shop) -> None:
    order, stranger = shop.order(), shop.customer()
    await shop.publish(created(order, user_id=stranger.id))
    [parked] = await shop.parked()
    assert parked.headers[REASON] == "not_the_orders_owner"
    assert await shop.messages() == []


async def test_an_event_of_a_vanished_customer_is_settled_without_a_message(shop: Shop) -> None:
    order = shop.order()
    del shop.auth.profiles[order.user_id]
    body = created(order)
    await shop.publish(body)
    await shop.until_verdicts(done=1)
    [row] = await shop.rows("SELECT event_id, outcome FROM inbox")
    assert (str(row["event_id"]), row["outcome"]) == (body["event_id"], "no_recipient")
    assert await shop.states(order) == {}
    await shop.publish(body)
    await shop.until_verdicts(done=2)
    assert await shop.messages() == []


@pytest.mark.parametrize("neighbour", ["auth", "orders"])
async def test_a_neighbour_that_cannot_answer_is_asked_four_times_and_the_event_then_parked(
    shop: Shop, neighbour: str
) -> None:
    asked = getattr(shop, neighbour)
    for number, status in enumerate((500, 503, 429, 302), start=1):
        asked.status = status
        order = shop.order()
        await shop.publish(created(order))
        [parked] = await shop.parked()
        assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("dependency_unavailable", 3), status
        assert len(asked.asked) == 4 * number
        assert await shop.states(order) == {}
    await shop.until_verdicts(retry=12, park=4)


@pytest.mark.parametrize("neighbour", ["auth", "orders"])
async def test_a_neighbour_that_answers_nonsense_is_one_that_cannot_answer(shop: Shop, neighbour: str) -> None:
    asked = getattr(shop, neighbour)
    asked.status = 200
    for nonsense in (b"<h1>Welcome</h1>", b"", b"{}", b'{"id": 1}', b"[" * 100_000):
        asked.body = nonsense
        await shop.publish(created(shop.order()))
        [parked] = await shop.parked()
        assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("dependency_unavailable", 3), nonsense[:20]


async def test_a_refusal_made_of_auth_services_trouble_is_no_refusal_of_our_token(shop: Shop) -> None:
    shop.orders.status = 401
    shop.orders.body = {"type": "urn:shopflow:problem:authentication-unavailable"}
    await shop.publish(created(shop.order()))
    [parked] = await shop.parked()
    assert (parked.headers[REASON], parked.headers[ATTEMPT]) == ("dependency_unavailable", 3)


async def test_a_neighbour_that_comes_back_within_the_ladder_is_enough(shop: Shop) -> None:
    order = shop.order()
    shop.orders.status = 503
    await shop.publish(created(order))
    await shop.until_verdicts(retry=1)
    shop.orders.status = None
    await shop.until_verdicts(retry=1, done=1)
    assert await shop.states(order) == BOTH


@pytest.mark.parametrize("neighbour", ["auth", "orders"])
async def test_our_own_token_refused_is_waited_out_and_never_parked(shop: Shop, neighbour: str) -> None:
    order = shop.order()
    getattr(shop, neighbour).accepts = "another-token"
    await shop.publish(created(order))
    for number in range(1, 6):
        await shop.until_verdicts(wait=number)
        if number < 5:
            await shop.hasten()
    getattr(shop, neighbour).accepts = "the-service-token"
    await shop.hasten()
    await shop.until_verdicts(wait=5, done=1)
    assert await shop.states(order) == BOTH


async def test_a_message_of_a_stranger_without_properties_is_parked_with_its_bytes(shop: Shop) -> None:
    body = uuid4().bytes
    await shop.publish(body, content_type=None, delivery_mode=None)
    [parked] = await shop.parked()
    assert parked.body == body
    assert parked.headers[REASON] == "unreadable: malformed-json"
    assert await shop.waiting(CREATED.wait_queue(PAUSE_DELAY)) == 0


async def test_whatever_headers_a_message_has_it_is_parked_with_them(shop: Shop) -> None:
    headers: dict[str, Any] = {
        "text": "é\u2028",
        "whole": -(2**63),
        "broken": 1.5,
        "yes": True,
        "nothing": None,
        "bytes": bytearray(b"\x00\xff"),
        "decimal": Decimal("1.25"),
        "instant": datetime(2026, 2, 17, 11, tzinfo=UTC),
        "list": [1, "two", [3.5]],
        "table": {"deeper": {"still": 1}},
        "traceparent": 7,
        "tracestate": ["x"],
    }
    await shop.publish(b"{", headers=headers, message_id="m" * 255)
    [parked] = await shop.parked()
    assert {name: parked.headers[name] for name in headers} == headers
    assert parked.message_id == "m" * 255
