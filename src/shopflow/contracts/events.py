"""The events of orders, as they travel on the broker (PRD 5): one envelope, a closed set of payloads."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from shopflow.contracts.fields import Identifier, Timestamp


class EventType(StrEnum):
    """The closed set of events."""

    ORDER_CREATED = "OrderCreated"
    ORDER_SHIPPED = "OrderShipped"


class Destination(msgspec.Struct, frozen=True):
    """The part of a shipping address that events carry: no street, no name."""

    city: str
    state: str | None
    country: str


class OrderCreated(msgspec.Struct, frozen=True):
    """A new order was stored (PRD 5.1). `items_count` counts lines (R36)."""

    order_id: Identifier
    user_id: Identifier
    status: str
    total_amount: Decimal
    currency: str
    items_count: int
    shipping_address: Destination


class OrderShipped(msgspec.Struct, frozen=True):
    """An order went from confirmed to shipped (PRD 5.2)."""

    order_id: Identifier
    user_id: Identifier
    status: str
    shipped_at: Timestamp
    shipping_address: Destination


Payload = OrderCreated | OrderShipped

PAYLOADS: Final[dict[EventType, type[OrderCreated] | type[OrderShipped]]] = {
    EventType.ORDER_CREATED: OrderCreated,
    EventType.ORDER_SHIPPED: OrderShipped,
}


class Envelope(msgspec.Struct, frozen=True):
    """What surrounds every payload. `event_id` makes an event itself: the same id is the same event.

    `payload` stays undecoded here, since its shape depends on `event_type`; a reader accepts every `version` 1.x (R59).
    """

    event_id: Identifier
    event_type: str
    timestamp: Timestamp
    version: str
    payload: msgspec.Raw


VERSION: Final = "1.0"
