"""What a parked message tells about itself, whatever a stranger put into it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.notifications.attempt import trouble
from shopflow.notifications.parking import (
    Told,
    headers_as_json,
    headers_to_replay,
    parked,
    readable,
    source_queue,
    told,
)

EVENT = "b2c3d4e5-f6a7-8901-bcde-f12345678901"
ORDER = "c3d4e5f6-a7b8-9012-cdef-123456789012"


def a_message(body: bytes = b"{}", headers: dict[str, Any] | None = None, **changes: Any) -> Any:
    given: dict[str, Any] = {"routing_key": "order.created.failed", "message_id": "m", "retries": 3, "reason": "why"}
    return parked(body, headers or {}, **(given | changes))


def test_a_body_tells_what_can_be_read_of_it_each_part_on_its_own() -> None:
    whole = {"event_id": EVENT, "event_type": "OrderCreated", "payload": {"order_id": ORDER.upper(), "user_id": "me"}}
    assert told(msgspec.json.encode(whole)) == Told(UUID(EVENT), "OrderCreated", UUID(ORDER), None)
    assert told(msgspec.json.encode(whole | {"payload": [1], "event_id": 7})) == Told(None, "OrderCreated", None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"null", b"[]", b'"x"', b"[" * 100_000, b'{"event_id":' * 5000, b"{" * 3, b'{"event_id":"\xff"}',
     b'{"x":"' + b"y" * 2_000_000 + b'"}', b"7", b"{}"],
)  # fmt: skip
def test_a_body_that_is_no_event_tells_nothing(body: bytes) -> None:
    assert told(body) == Told()


def test_whatever_the_headers_say_it_fits_into_the_table() -> None:
    odd = a_message(routing_key="a\x00b", message_id=None, retries="two", reason="r\x00\ud800" + "x" * 1000)
    assert (odd.routing_key, odd.message_id, odd.attempts) == ("a\ufffdb", "", 0)
    assert odd.reason.startswith("r\ufffd?x")
    assert len(odd.reason) == 500
    assert [a_message(retries=each).attempts for each in (-5, 0, 3, 10**12, True)] == [1, 1, 4, 1_000_001, 2]
    assert [a_message(reason=each).reason for each in (None, "", 7, b"x")] == ["unknown"] * 4


def test_headers_come_back_as_they_were_but_for_ours_and_the_brokers() -> None:
    own: dict[str, Any] = {
        "text": "é\u2028",
        "whole": -(2**63),
        "broken": 1.5,
        "endless": float("inf"),
        "nothing": None,
        "bytes": bytearray(b"\x00\xff"),
        "decimal": Decimal("1.25"),
        "instant": datetime(2026, 2, 17, 11, tzinfo=UTC),
        "list": [1, "two", [3.5, bytearray(b"x")]],
        "table": {"deeper": {"still": Decimal(2)}},
        "looks like ours": {"$base64": "not at all", "$decimal": "x"},
        "looks even more like ours": {"$instant": "yesterday"},
        "and another": [{"$base64": "not at all"}, {"$decimal": 7}],
    }
    added = {"x-shopflow-attempt": 3, "x-shopflow-reason": "x", "x-death": [{"count": 1}], "x-delivery-count": 2}
    assert headers_to_replay(headers_as_json(own | added)) == own


def test_headers_hold_nothing_that_postgresql_refuses() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    written = headers_as_json({"a\x00": "b\x00", "c": {"d\x00": ["\ud800"]}, "e": deep, "f": object()})
    assert b"\\u0000" not in written
    assert msgspec.json.decode(written)["c"] == {"d\ufffd": ["?"]}


def test_a_body_is_shown_as_text_where_it_is_text() -> None:
    assert readable("é".encode(), whole=True) == ("é", "utf-8")
    assert readable("xé".encode()[:2], whole=False) == ("x", "utf-8")
    assert readable("xé".encode()[:2], whole=True) == ("eMM=", "base64")


def test_a_message_goes_back_to_the_queue_it_came_from_and_to_no_other() -> None:
    assert {each.dead_letter_key: source_queue(each.dead_letter_key) for each in SUBSCRIPTIONS} == {
        each.dead_letter_key: each.queue for each in SUBSCRIPTIONS
    }
    assert source_queue("order.eaten.failed") is None


def test_every_outcome_has_its_class() -> None:
    outcomes = {
        ("accepted", None): None,
        ("adopted", "found"): None,
        (None, None): None,
        ("rejected", "recipient refused: x"): "permanent-recipient",
        ("rejected", "content refused: x"): "permanent-content",
        ("suppressed", "bounce"): "permanent-recipient",
        ("failed", "503"): "transient",
        ("late", None): "transient",
        ("misconfigured", "x"): "configuration",
        ("in_doubt", "x"): "in-doubt",
    }
    assert {each: trouble(*each) for each in outcomes} == outcomes
