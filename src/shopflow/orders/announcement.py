"""What the world is told about an order: the envelopes of OrderCreated and OrderShipped, as bytes (PRD 5).

Pure. An event follows from its order, its id and its bytes included, so that one that was lost can be written anew and
is still the same event to whoever has heard of it. Who publishes it is the outbox's business.
"""

from dataclasses import dataclass
from typing import assert_never
from uuid import UUID, uuid5

import msgspec
from msgspec import structs

from shopflow.contracts.events import VERSION, Destination, Envelope, EventType, OrderCreated, OrderShipped, Payload
from shopflow.contracts.orders import Address, Order, Status
from shopflow.contracts.topology import ROUTING_KEYS
from shopflow.kit.encoding import encoded


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """One event, ready to be stored in the outbox. `subject_id` is its order: events of one order keep their order."""

    event_id: UUID
    subject_id: UUID
    routing_key: str
    body: bytes


def event_id(order_id: UUID, event_type: EventType) -> UUID:
    """The id of an order's event of a type: an order comes to each state once, so there is one."""
    return uuid5(order_id, event_type)


def anew(order: Order, event_type: EventType, *, event_id: UUID) -> Announcement | None:
    """An event as it was announced when the order came to that state; None when it has not come there."""
    match event_type:
        case EventType.ORDER_CREATED:
            return created(structs.replace(order, status=Status.PENDING), event_id=event_id)
        case EventType.ORDER_SHIPPED:
            if order.shipped_at is None:
                return None
            return shipped(
                UUID(order.id),
                UUID(order.user_id),
                address=order.shipping_address,
                shipped_at=order.shipped_at,
                event_id=event_id,
            )
        case _:
            assert_never(event_type)


def created(order: Order, *, event_id: UUID) -> Announcement:
    """OrderCreated; its timestamp is the order's `created_at` (PRD 5.1)."""
    payload = OrderCreated(
        order_id=order.id,
        user_id=order.user_id,
        status=order.status,
        total_amount=order.total_amount,
        currency=order.currency,
        items_count=len(order.items),
        shipping_address=_destination(order.shipping_address),
    )
    return _announcement(EventType.ORDER_CREATED, payload, event_id=event_id, timestamp=order.created_at)


def shipped(order_id: UUID, user_id: UUID, *, address: Address, shipped_at: str, event_id: UUID) -> Announcement:
    """OrderShipped; its timestamp is the order's `shipped_at` (PRD 5.2)."""
    payload = OrderShipped(
        order_id=str(order_id),
        user_id=str(user_id),
        status=Status.SHIPPED,
        shipped_at=shipped_at,
        shipping_address=_destination(address),
    )
    return _announcement(EventType.ORDER_SHIPPED, payload, event_id=event_id, timestamp=shipped_at)


def _destination(address: Address) -> Destination:
    return Destination(address.city, address.state, address.country)


def _announcement(event_type: EventType, payload: Payload, *, event_id: UUID, timestamp: str) -> Announcement:
    envelope = Envelope(
        event_id=str(event_id),
        event_type=event_type,
        timestamp=timestamp,
        version=VERSION,
        payload=msgspec.Raw(encoded(payload)),
    )
    return Announcement(
        event_id=event_id,
        subject_id=UUID(payload.order_id),
        routing_key=ROUTING_KEYS[event_type],
        body=encoded(envelope),
    )
