"""What an order is: its lines and totals, its state machine as one table, its invariants, and who may read it.

Pure: no clock, no dice, no database. Amounts are exact decimals in the order's currency (PRD 4.2, 6).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from shopflow.contracts.events import EventType
from shopflow.contracts.fields import MAX_AMOUNT, is_country, minor_units, plain
from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.kit.conditional import strong
from shopflow.kit.problems import FieldError, conflict, invalid

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row of the transition table: from, to, which timestamp it sets, who may do it, what it announces."""

    source: Status
    target: Status
    stamp: str
    roles: frozenset[Role]
    announces: EventType | None = None


_ADMIN: Final = frozenset({Role.ADMIN})

STEPS: Final = (
    Step(source=Status.PENDING, target=Status.CONFIRMED, stamp="confirmed_at", roles=_ADMIN),
    Step(
        source=Status.CONFIRMED,
        target=Status.SHIPPED,
        stamp="shipped_at",
        roles=_ADMIN,
        announces=EventType.ORDER_SHIPPED,
    ),
    Step(source=Status.SHIPPED, target=Status.DELIVERED, stamp="delivered_at", roles=_ADMIN),
)
"""The whole state machine (PRD 6.2)."""


def step(current: Status, target: Status) -> Step:
    """The step that leads from one state to another.

    Raises:
        Problem: a conflict when the order is in that state already, `delivered` included (R28); invalid for every
            other pair that is not in the table.
    """
    if current is target:
        raise conflict("already-in-state", f"The order is {current} already.")
    for each in STEPS:
        if each.source is current and each.target is target:
            return each
    following = [each.target for each in STEPS if each.source is current]
    rule = f"can only become {' or '.join(following)} from {current}" if following else f"cannot change from {current}"
    raise invalid(
        FieldError("status", rule),
        code="invalid-transition",
        detail=f"An order that is {current} cannot become {target}.",
    )


def allowed_transitions(status: Status, role: Role) -> list[Status]:
    """The states to which a caller of this role may bring an order that is in `status`; empty when there is none."""
    return [each.target for each in STEPS if each.source is status and role in each.roles]


def stamps_hold(
    status: Status, *, confirmed_at: datetime | None, shipped_at: datetime | None, delivered_at: datetime | None
) -> bool:
    """Whether exactly the timestamps are set that PRD 6.3 demands; the table's CHECK says the same."""
    reached = list(Status).index(status)
    return [stamp is not None for stamp in (confirmed_at, shipped_at, delivered_at)] == [
        place <= reached for place in (1, 2, 3)
    ]


def tag(status: Status) -> str:
    """The entity tag of an order in this state: the state is the only thing of an order that ever changes (R47, B5)."""
    return strong(status)


def may_read(caller: Caller, owner: UUID) -> bool:
    """Whether a caller may see an order of this owner: its owner, admins and services (PRD 4.2, 8.2)."""
    return caller.is_admin or caller.is_service or caller.user_id == owner


def line(*, product_id: str, product_name: str, quantity: int, unit_price: Decimal) -> Line:
    """One line with its subtotal; the price must have passed `price_rule`."""
    price = plain(unit_price.quantize(_CENT))
    return Line(product_id, product_name, quantity, price, plain(price * quantity))


def total(lines: Sequence[Line]) -> Decimal:
    """The sum of all subtotals, exactly."""
    return plain(sum((each.subtotal for each in lines), Decimal(0)))


def price_rule(price: Decimal, currency: str) -> str | None:
    """The rule that a unit price breaks, or None: above 0, storable, no more decimals than its currency has (R71)."""
    if price <= 0:
        return "must be more than 0"
    if price > MAX_AMOUNT:
        return f"must be at most {MAX_AMOUNT}"
    units = minor_units(currency)
    decimals = 2 if units is None else units  # an unknown currency is refused for itself
    if price.quantize(Decimal(1).scaleb(-decimals)) != price:
        return f"must have at most {decimals} decimals" if decimals else "must be a whole number in this currency"
    return None


def amount_rules(lines: Sequence[Line]) -> Iterator[FieldError]:
    """Which subtotals, or else the total, are more than DECIMAL(10, 2) holds (R71)."""
    too_large = f"must be at most {MAX_AMOUNT}"
    over = [index for index, each in enumerate(lines) if each.subtotal > MAX_AMOUNT]
    yield from (FieldError(f"items[{index}]", f"subtotal {too_large}") for index in over)
    if not over and total(lines) > MAX_AMOUNT:
        yield FieldError("items", f"total {too_large}")


def currency_rule(currency: str) -> str | None:
    """The rule that a currency breaks, or None (R32)."""
    return None if minor_units(currency) is not None else "must be an ISO 4217 currency code in upper case"


def address_rules(address: Address) -> Iterator[FieldError]:
    """Which parts of an address break a rule: no blanks, a real country, a state in the US (R37, R38)."""
    parts = (
        ("street", address.street),
        ("city", address.city),
        ("state", address.state),
        ("zip_code", address.zip_code),
    )
    for name, text in parts:
        if text is not None and not text.strip():
            yield FieldError(f"shipping_address.{name}", "must not be blank")
    if not is_country(address.country):
        yield FieldError("shipping_address.country", "must be an ISO 3166-1 alpha-2 country code in upper case")
    if address.country == "US" and address.state is None:
        yield FieldError("shipping_address.state", "is required in the US")


def placed(
    *,
    order_id: UUID,
    user_id: UUID,
    lines: list[Line],
    address: Address,
    currency: str,
    notes: str | None,
    created_at: str,
) -> Order:
    """A new order: pending, its total the sum of its lines, none of the later timestamps set (PRD 4.2, 6.3)."""
    return Order(
        id=str(order_id),
        user_id=str(user_id),
        status=Status.PENDING,
        items=lines,
        shipping_address=address,
        total_amount=total(lines),
        currency=currency,
        notes=notes,
        confirmed_at=None,
        shipped_at=None,
        delivered_at=None,
        created_at=created_at,
        updated_at=created_at,
    )
