"""The PRD's JSON samples of orders and their events, as golden files: ours are the same, fields in the same order."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shopflow.contracts.fields import timestamp
from shopflow.contracts.orders import Order, Status
from shopflow.kit.encoding import encoded
from shopflow.kit.pages import page
from shopflow.orders import announcement, order
from shopflow.orders.bodies import AdvancedOrder, AdvanceOrder, OrderSummary, PlaceOrder, PlaceOrderDecoder

ORDER_ID = UUID("b2c3d4e5-f6a7-8901-bcde-f12345678901")
USER_ID = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
PLACED_AT = datetime(2026, 2, 17, 11, 0, 0, 999, tzinfo=UTC)
CONFIRMED_AT = datetime(2026, 2, 17, 14, 0, tzinfo=UTC)
SHIPPED_AT = datetime(2026, 2, 18, 9, 30, tzinfo=UTC)


@pytest.fixture
def samples(root: Path) -> Path:
    return root / "tests" / "agreement" / "samples"


def same(ours: bytes, sample: Path) -> bool:
    """Equal JSON with the fields in the same order and the numbers written alike."""
    return msgspec.json.format(ours, indent=2) == msgspec.json.format(sample.read_bytes().strip(), indent=2)


@pytest.fixture
def placement(samples: Path) -> PlaceOrder:
    return PlaceOrderDecoder().decode((samples / "orders_place_request.json").read_bytes())


@pytest.fixture
def placed(placement: PlaceOrder) -> Order:
    return order.placed(
        order_id=ORDER_ID,
        user_id=USER_ID,
        lines=placement.lines,
        address=placement.address,
        currency=placement.currency,
        notes=placement.notes,
        created_at=timestamp(PLACED_AT),
    )


def test_the_sample_placement_becomes_the_sample_order(placed: Order, samples: Path) -> None:
    assert same(encoded(placed), samples / "orders_place_response.json")


def test_the_sample_order_is_read_as_the_contract_others_read(placed: Order, samples: Path) -> None:
    assert msgspec.json.decode((samples / "orders_place_response.json").read_bytes(), type=Order) == placed


def test_the_sample_order_is_listed_as_in_the_sample(placed: Order, samples: Path) -> None:
    summary = OrderSummary(placed.id, placed.status, placed.total_amount, placed.currency, placed.created_at)
    listed = page([summary], number=1, limit=20, total_items=1)
    assert same(encoded(listed), samples / "orders_list_response.json")


def test_the_sample_transition_is_answered_as_in_the_sample(samples: Path) -> None:
    asked = msgspec.json.decode((samples / "orders_advance_request.json").read_bytes(), type=AdvanceOrder)
    at = timestamp(CONFIRMED_AT)
    answer = AdvancedOrder(id=str(ORDER_ID), status=asked.status, confirmed_at=at, updated_at=at)
    assert same(encoded(answer), samples / "orders_advance_response.json")


def test_the_sample_order_is_announced_as_the_sample_event(placed: Order, samples: Path) -> None:
    event_id = UUID("d4e5f6a7-b8c9-0123-def0-123456789abc")
    announced = announcement.created(placed, event_id=event_id)
    assert same(announced.body, samples / "event_order_created.json")
    assert (announced.event_id, announced.subject_id, announced.routing_key) == (event_id, ORDER_ID, "order.created")


def test_the_sample_shipment_is_announced_as_the_sample_event(placed: Order, samples: Path) -> None:
    event_id = UUID("e5f6a7b8-c9d0-1234-ef01-23456789abcd")
    announced = announcement.shipped(
        ORDER_ID, USER_ID, address=placed.shipping_address, shipped_at=timestamp(SHIPPED_AT), event_id=event_id
    )
    assert same(announced.body, samples / "event_order_shipped.json")
    assert (announced.event_id, announced.subject_id, announced.routing_key) == (event_id, ORDER_ID, "order.shipped")


def test_an_address_without_a_state_is_announced_with_null(placed: Order) -> None:
    address = msgspec.structs.replace(placed.shipping_address, state=None, country="DE")
    event: Any = msgspec.json.decode(
        announcement.created(msgspec.structs.replace(placed, shipping_address=address), event_id=ORDER_ID).body
    )
    assert event["payload"]["shipping_address"] == {"city": "Springfield", "state": None, "country": "DE"}
    assert event["payload"]["status"] == Status.PENDING
