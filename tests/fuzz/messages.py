"""Broker messages as a stranger would publish them: good events, mutated ones, bytes; with whatever headers.

What no client can encode, and what the broker itself refuses, is not in here. A header that our client cannot decode
is left out too: it blocks its consumer, which is known.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec
from structlog.testing import capture_logs
from tests.service.notifications.shop import CREATED, SHIPPED, Shop, created, shipped

from shopflow.contracts.orders import Order
from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.kit.consumer import ATTEMPT, REASON

IN_FLIGHT: Final = 200
TROUBLE: Final = frozenset({"message_failed", "copy_not_confirmed", "dead_letter_not_kept"})
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 2**63, 10**30, 1e308, "", "x", "\x00", "\ud800", "../../auth/users", "é" * 300, [],
    [None], {}, {"a": {"b": []}}, "2026-02-30T00:00:00.000Z", "0000-00-00", "1.7", "2.0", "1.", "OrderCreated", "NaN",
)  # fmt: skip
ATTEMPTS: Final = (-1, 0, 1, 2, 3, 4, 10**9, -(2**63), "text", "1", True, 1.5, None, [1], {"a": 1}, bytearray(b"\xff"))
DEATHS: Final[tuple[Any, ...]] = (
    [], "x", 7, [{"count": -1}], [{"count": 10**9, "queue": CREATED.queue, "reason": "expired"}], [[[]]], {"count": 1}
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One message: its bytes, where it is published, and its properties."""

    body: bytes
    key: str
    properties: Mapping[str, Any]


class Strangers:
    """Makes one message after the other.

    Args:
        dice: where all chance comes from.
        orders: what good events are about.
    """

    def __init__(self, dice: Random, orders: list[Order]) -> None:
        self._dice = dice
        self._orders = orders

    def message(self) -> Made:
        """A message: a third are good events, the others are not, or may be not."""
        dice = self._dice
        subscription = dice.choice(SUBSCRIPTIONS)
        order = dice.choice(self._orders)
        event_id = str(UUID(bytes=dice.randbytes(16)))
        make = (
            dice.choice((created, shipped))
            if dice.random() < 0.1
            else {CREATED: created, SHIPPED: shipped}[subscription]
        )
        event = make(order, event_id=event_id)
        body = msgspec.json.encode(event)
        kind = dice.random()
        if kind > 0.6:
            body = self._other_text(body)
        elif kind > 0.35:
            body = _json(self._other_value(event))
        return Made(body, subscription.routing_key, self._properties())

    def _other_value(self, event: dict[str, Any]) -> dict[str, Any]:
        dice = self._dice
        changed = {**event, "payload": {**event["payload"]}}
        for _ in range(dice.choice((1, 1, 2))):
            place = dice.choice((changed, changed["payload"])) if isinstance(changed.get("payload"), dict) else changed
            name = dice.choice((*place, "more"))
            if dice.random() < 0.25:
                place.pop(name, None)
            else:
                place[name] = dice.choice(ODD)
        return changed

    def _other_text(self, body: bytes) -> bytes:
        dice = self._dice
        where = dice.randrange(len(body))
        flipped = bytearray(body)
        for _ in range(dice.choice((1, 1, 3, 20))):
            flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
        return dice.choice(
            (
                bytes(flipped), bytes(flipped), dice.randbytes(dice.choice((0, 1, 10, 1000))), body[:where],
                body[:where] + dice.randbytes(3) + body[where:], b"\xef\xbb\xbf" + body, body.decode().encode("utf-16"),
                body + body, body + b" ", body + b"\x00", b'{"event_type":"OrderShipped",' + body[1:],
                b'{"version":"1.0",' + body[1:], body.replace(b'"US"', b'"\\u0000"'),
                body.replace(b'"US"', b'"\\ud800"'), body.replace(b"112.97", b"NaN"), body.replace(b"112.97", b"1e400"),
                body.replace(b"2,", b"2.0,"), b"[" * dice.choice((10, 1000, 100_000)), b'{"payload":' * 5000,
                body[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}", b"/* */" + body, body.replace(b'"', b"'"),
                b"null", b"[]", b'""', b"0",
                b'"' + b"x" * dice.choice((1000, 1_000_000)) + b'"',
            )
        )  # fmt: skip

    def _properties(self) -> dict[str, Any]:
        dice = self._dice
        headers: dict[str, Any] = {}
        if dice.random() < 0.4:
            headers[ATTEMPT] = dice.choice(ATTEMPTS)
        if dice.random() < 0.3:
            headers["x-death"] = dice.choice(DEATHS)
        if dice.random() < 0.3:
            headers[dice.choice((REASON, "traceparent", "tracestate", "x-first-death-queue", "n", "é", "k" * 100))] = (
                dice.choice(
                    (*ATTEMPTS, "x" * 5000, datetime(2026, 2, 17, tzinfo=UTC), Decimal("1.5"), {"a": [1, {"b": 2}]})
                )
            )
        given: dict[str, Any] = {"headers": headers}
        if dice.random() < 0.3:
            given["content_type"] = dice.choice((None, "text/plain", "application/x-protobuf", "é"))
            given["delivery_mode"] = dice.choice((1, 2))
        if dice.random() < 0.3:
            given |= {"message_id": dice.choice((None, "", "x" * 255, "same")), "priority": dice.choice((0, 9, 255)),
                      "correlation_id": "é", "reply_to": "nowhere", "type": "OrderCreated"}  # fmt: skip
        return given


@dataclass(frozen=True)
class Outcome:
    """What became of all messages."""

    published: int
    parked: int
    done: int


async def published_and_settled(shop: Shop, dice: Random, number: int, *, say: Any = None) -> Outcome:
    """Publishes so many messages and waits until each is dealt with; asserts that none is lost, changed or stuck.

    Args:
        shop: a service that is consuming, on a broker of its own.
        dice: where all chance comes from.
        number: how many messages.
        say: hears how far it has come.
    """
    strangers = Strangers(dice, [shop.order() for _ in range(20)])
    sent: Counter[bytes] = Counter()
    parked: Counter[bytes] = Counter()
    with capture_logs() as lines:
        for index in range(number):
            made = strangers.message()
            sent[made.body] += 1
            await shop.publish(made.body, key=made.key, **made.properties)
            if index % IN_FLIGHT == IN_FLIGHT - 1:
                await _settled(shop, index + 1, parked)
                if say:
                    say(f"messages: {index + 1} of {number}")
        await _settled(shop, number, parked)
    assert [line for line in lines if line["event"] in TROUBLE] == []
    assert parked <= sent
    await _was_recorded(shop, sent - parked)
    await _works_still(shop)
    return Outcome(published=sent.total(), parked=parked.total(), done=(sent - parked).total())


async def _settled(shop: Shop, number: int, parked: Counter[bytes]) -> None:
    """Waits until so many are done or parked; takes what is parked, and looks at its headers."""
    async with asyncio.timeout(120):
        while parked.total() + await _done(shop) < number:
            for row in await shop.rows("DELETE FROM dead_letters RETURNING body, headers, times"):
                headers = json.loads(row["headers"])
                assert isinstance(headers[ATTEMPT], int)
                assert 0 <= headers[ATTEMPT] <= 3
                assert isinstance(headers[REASON], str)
                parked[row["body"]] += row["times"]
            await asyncio.sleep(0.02)


async def _done(shop: Shop) -> int:
    return sum([(await shop.verdicts(each.queue)).get("done", 0) for each in SUBSCRIPTIONS])


async def _was_recorded(shop: Shop, processed: Counter[bytes]) -> None:
    """What was not parked was an event, and is on record."""
    ids = {UUID(json.loads(body)["event_id"]) for body in processed}
    known = {row["event_id"] for row in await shop.rows("SELECT event_id FROM inbox")}
    assert ids <= known


async def _works_still(shop: Shop) -> None:
    """A good event on each queue is handled at once, and its customer hears of it."""
    order = shop.order()
    await shop.publish(created(order))
    await shop.publish(shipped(order), key=SHIPPED.routing_key)
    expected = {f"order_{what}.{channel}": "sent" for what in ("created", "shipped") for channel in ("email", "sms")}
    async with asyncio.timeout(15):
        while await shop.states(order) != expected:
            await asyncio.sleep(0.02)


def _json(value: object) -> bytes:
    """JSON, however odd; half a surrogate pair goes out as an escape."""
    return json.dumps(value, separators=(",", ":")).encode()
