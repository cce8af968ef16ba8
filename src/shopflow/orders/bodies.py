"""What travels in and out of order-service's own endpoints, beyond the contracts other services read.

Pure. Reading a placement checks all of its rules at once, so that a caller learns everything that is wrong.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from shopflow.contracts.fields import MAX_AMOUNT, CountryCode, CurrencyCode, Identifier, Timestamp, timestamp
from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.kit.decoding import Decoder
from shopflow.kit.problems import FieldError, invalid
from shopflow.orders import order as orders
from shopflow.orders.history import Entry

Text200 = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text500 = Annotated[str, msgspec.Meta(max_length=500)]
Price = Annotated[
    Decimal, msgspec.Meta(extra_json_schema={"extra": {"exclusive_minimum": 0.0, "maximum": float(MAX_AMOUNT)}})
]


class PlaceLine(msgspec.Struct, frozen=True):
    """One line of a new order. `unit_price` is a JSON number above 0 in the order's currency."""

    product_id: Identifier
    product_name: Text200
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    unit_price: Price


class PlaceAddress(msgspec.Struct, frozen=True):
    """Where a new order goes. `country` is ISO 3166-1 alpha-2; `state` is required for US."""

    street: Text200
    city: Text200
    zip_code: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    country: CountryCode
    state: Text200 | None = None


PLACE_ORDER_SAMPLE: Final = {
    "items": [
        {
            "product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "product_name": "Wireless Headphones",
            "quantity": 2,
            "unit_price": 49.99,
        },
        {
            "product_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "product_name": "USB-C Cable",
            "quantity": 1,
            "unit_price": 12.99,
        },
    ],
    "shipping_address": {
        "street": "742 Evergreen Terrace",
        "city": "Springfield",
        "state": "IL",
        "zip_code": "62704",
        "country": "US",
    },
    "currency": "USD",
    "notes": "Please leave at the front door.",
}
"""The PRD's own placement (4.2), to be tried on `/docs` and by the demo."""


class PlaceOrder(msgspec.Struct, frozen=True):
    """The body of `POST /orders` (PRD 4.2)."""

    items: Annotated[list[PlaceLine], msgspec.Meta(min_length=1, max_length=1000)]
    shipping_address: PlaceAddress
    currency: CurrencyCode = "USD"
    notes: Text500 | None = None

    @property
    def lines(self) -> list[Line]:
        """The lines with their subtotals."""
        return [
            orders.line(
                product_id=each.product_id,
                product_name=each.product_name,
                quantity=each.quantity,
                unit_price=each.unit_price,
            )
            for each in self.items
        ]

    @property
    def address(self) -> Address:
        """The address as it is stored."""
        to = self.shipping_address
        return Address(to.street, to.city, to.state, to.zip_code, to.country)


class _Price(msgspec.Struct):
    unit_price: msgspec.Raw


class _Prices(msgspec.Struct):
    items: list[_Price]


class PlaceOrderDecoder(Decoder[PlaceOrder]):
    """Reads a placement; one that comes out of it can be stored as it is."""

    def __init__(self) -> None:
        super().__init__(PlaceOrder)
        self._prices = msgspec.json.Decoder(_Prices)

    def decode(self, raw: bytes) -> PlaceOrder:
        """The placement that `raw` holds.

        Raises:
            Problem: of kind invalid, naming every rule that is broken.
        """
        body = super().decode(raw)
        texts = self._texts(raw)
        errors = [
            *_price_errors(body, texts),
            *_name_errors(body),
            *orders.address_rules(body.address),
        ]
        if rule := orders.currency_rule(body.currency):
            errors.append(FieldError("currency", rule))
        if not errors:
            errors.extend(orders.amount_rules(body.lines))
        if errors:
            raise invalid(*errors)
        return body

    def _texts(self, raw: bytes) -> set[int]:
        """Which prices are strings: the decoder takes "1.00" and "NaN" for decimals, the contract does not (R33)."""
        prices = self._prices.decode(raw).items
        return {index for index, each in enumerate(prices) if bytes(each.unit_price).startswith(b'"')}


def _price_errors(body: PlaceOrder, texts: set[int]) -> Iterator[FieldError]:
    for index, each in enumerate(body.items):
        rule = "must be a number" if index in texts else orders.price_rule(each.unit_price, body.currency)
        if rule:
            yield FieldError(f"items[{index}].unit_price", rule)


def _name_errors(body: PlaceOrder) -> Iterator[FieldError]:
    for index, each in enumerate(body.items):
        if not each.product_name.strip():
            yield FieldError(f"items[{index}].product_name", "must not be blank")


class AdvanceOrder(msgspec.Struct, frozen=True):
    """The body of `PATCH /orders/:id/status`; `reason` goes into the order's history."""

    status: Status
    reason: Text500 | None = None


class AdvancedOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a transition answers: the new state, and of the timestamps only the one that was just set (R30)."""

    id: str
    status: Status
    confirmed_at: Timestamp | None = None
    shipped_at: Timestamp | None = None
    delivered_at: Timestamp | None = None
    updated_at: Timestamp


class OrderForPeople(Order, frozen=True):
    """The full order as a person reads it: also the states to which this very caller may bring it (R75)."""

    allowed_transitions: list[Status]

    @classmethod
    def of(cls, order: Order, role: Role) -> "OrderForPeople":
        """An order as a caller of this role reads it."""
        fields = {name: getattr(order, name) for name in Order.__struct_fields__}
        return cls(**fields, allowed_transitions=orders.allowed_transitions(order.status, role))


class OrderSummary(msgspec.Struct, frozen=True):
    """An order in a list."""

    id: str
    status: Status
    total_amount: Decimal
    currency: str
    created_at: Timestamp


class Passage(msgspec.Struct, frozen=True):
    """One transition as an order's owner sees it; `from` is null for the placing."""

    source: Status | None = msgspec.field(name="from")
    target: Status = msgspec.field(name="to")
    role: str
    at: Timestamp

    @classmethod
    def of(cls, entry: Entry) -> "Passage":
        """A transition without who and why."""
        return cls(entry.source, entry.target, entry.actor_role, timestamp(entry.at))


class PassageForAdmins(Passage, frozen=True):
    """One transition with who and why (R75)."""

    actor_id: str
    reason: str | None
    trace_id: str | None

    @classmethod
    def of(cls, entry: Entry) -> "PassageForAdmins":
        """A transition with everything that is known of it."""
        at = timestamp(entry.at)
        return cls(entry.source, entry.target, entry.actor_role, at, entry.actor_id, entry.reason, entry.trace_id)
