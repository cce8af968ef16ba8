"""An order as order-service writes it and others read it (PRD 3.2, 4.2)."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from shopflow.contracts.fields import Timestamp


class Status(StrEnum):
    """Where an order is in its life, in order (PRD 6.1)."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"


class Line(msgspec.Struct, frozen=True):
    """One line of an order; `unit_price` and `subtotal` are in the order's currency."""

    product_id: str
    product_name: str
    quantity: int
    unit_price: Decimal
    subtotal: Decimal


class Address(msgspec.Struct, frozen=True):
    """Where an order goes; `country` is ISO 3166-1 alpha-2, `state` may be null outside the US."""

    street: str
    city: str
    state: str | None
    zip_code: str
    country: str


class Order(msgspec.Struct, frozen=True):
    """The full order: what POST answers, and GET for a service (R75)."""

    id: str
    user_id: str
    status: Status
    items: list[Line]
    shipping_address: Address
    total_amount: Decimal
    currency: str
    notes: str | None
    confirmed_at: Timestamp | None
    shipped_at: Timestamp | None
    delivered_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
