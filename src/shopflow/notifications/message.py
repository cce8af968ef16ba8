"""What a customer is told: an event, the order and the profile become subject, HTML, plain text and SMS.

Pure: no clock, no network. The wording rests on the event's own facts, since the order may have moved on (R58); the
order only adds details. Customers' text is made harmless here, whatever other services let through (D10).
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from shopflow.contracts.events import OrderCreated, OrderShipped, Payload
from shopflow.contracts.fields import MAX_AMOUNT, instant, minor_units, plain
from shopflow.contracts.identity import Profile
from shopflow.contracts.orders import Address, Line, Order
from shopflow.kit.problems import FieldError, invalid

MOST_LINES = 40
"""Order lines shown in a message; the rest is counted. Mail clients cut messages off above 100 kB."""

LONGEST_SUBJECT = 255
LONGEST_TEXT = 500
SHOWN_OF_ID = 8
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}

_TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")
# Overrides and isolates of the writing direction, marks that cannot be seen, halves of characters.
_UNSEEN = re.compile(r"[\u200b\u200e\u200f\u061c\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Message(msgspec.Struct, frozen=True):
    """What goes out about one event, for every channel; `type` is the notification's (R77)."""

    type: str
    subject: str
    html: str
    text: str
    sms: str


class ShownLine(msgspec.Struct, frozen=True):
    """One order line as it is shown."""

    name: str
    quantity: str
    unit_price: str
    subtotal: str


class Renderer:
    """The templates, compiled once a process; made in `app.build`, so that a broken one is met at the start."""

    def __init__(self) -> None:
        kinds = ("order_created", "order_shipped")
        self._templates = {
            f"{kind}.{part}": _ENVIRONMENT.get_template(f"{kind}.{part}.j2")
            for kind in kinds
            for part in ("html", "txt", "sms")
        }

    def render(self, event: Payload, order: Order, profile: Profile) -> Message:
        """Say in every form what the event means to the customer.

        Raises:
            Problem: invalid, when an amount or an instant is none that an order can have.
        """
        facts = _facts(event, order, profile)
        kind = facts["type"]

        def part(name: str) -> str:
            return self._templates[f"{kind}.{name}"].render(facts).strip()

        return Message(type=kind, subject=facts["subject"], html=part("html"), text=part("txt"), sms=part("sms"))


def one_line(text: str, *, most: int = LONGEST_TEXT) -> str:
    """Make a customer's text harmless: one line of at most `most` characters, no controls or direction overrides."""
    return _cut(_UNSEEN.sub("", _BREAKS.sub(" ", text)).strip(), most)


def money(amount: Decimal, currency: str) -> str:
    """Write an amount for people: `$1,234.50` where the sign is known, else `1,234.50 CHF`.

    Raises:
        Problem: invalid, when no order can have this amount.
    """
    symbol = SYMBOLS.get(currency)
    figure = _figure(amount, currency)
    return f"{figure} {_code(currency)}".strip() if symbol is None else f"{symbol}{figure}"


def _facts(event: Payload, order: Order, profile: Profile) -> dict[str, Any]:
    shared = _order_facts(event, order, profile)
    match event:
        case OrderCreated():
            items = f"{event.items_count} {'item' if event.items_count == 1 else 'items'}"
            total = f"{_figure(event.total_amount, event.currency)} {_code(event.currency)}".strip()
            named = {"type": "order_created", "subject": _subject("Order Confirmation", event), "items": items}
            return shared | named | {"total": _total(event.total_amount, event.currency), "sms_total": total}
        case OrderShipped():
            address = event.shipping_address
            destination = ", ".join(_filled((address.city, address.state, address.country)))
            named = {"type": "order_shipped", "subject": _subject("Order Shipped", event), "destination": destination}
            return shared | named | {"day": _day(event.shipped_at), "total": _total(order.total_amount, order.currency)}


def _order_facts(event: Payload, order: Order, profile: Profile) -> dict[str, Any]:
    return {
        "number": _number(event),
        "order_id": event.order_id.lower(),
        "name": one_line(profile.first_name, most=60),
        "lines": [_shown(line, order.currency) for line in order.items[:MOST_LINES]],
        "lines_left_out": max(0, len(order.items) - MOST_LINES),
        "address": _address(order.shipping_address),
        "notes": _filled((order.notes or "")[:LONGEST_TEXT].splitlines()),
    }


def _shown(line: Line, currency: str) -> ShownLine:
    return ShownLine(
        name=one_line(line.product_name, most=200),
        quantity=f"{line.quantity:,}",
        unit_price=money(line.unit_price, currency),
        subtotal=money(line.subtotal, currency),
    )


def _address(address: Address) -> list[str]:
    region = " ".join(_filled((address.state, address.zip_code)))
    return _filled((address.street, ", ".join(_filled((address.city, region))), address.country))


def _filled(parts: Iterable[str | None]) -> list[str]:
    return [cleaned for part in parts if part is not None and (cleaned := one_line(part))]


def _subject(text: str, event: Payload) -> str:
    return one_line(f"{text} - #{_number(event)}", most=LONGEST_SUBJECT)


def _number(event: Payload) -> str:
    return event.order_id[:SHOWN_OF_ID].lower()


def _total(amount: Decimal, currency: str) -> str:
    shown = money(amount, currency)
    return f"{shown} {currency}" if currency in SYMBOLS else shown


def _figure(amount: Decimal, currency: str) -> str:
    if not (amount.is_finite() and abs(amount) <= MAX_AMOUNT):
        raise invalid(FieldError("total_amount", "must be an amount that an order can have"))
    exponent = plain(amount).as_tuple().exponent
    exact = -exponent if isinstance(exponent, int) else 0
    return f"{amount:,.{max(minor_units(currency) or 0, min(exact, 4))}f}"


def _code(currency: str) -> str:
    return currency if _CURRENCY.fullmatch(currency) else ""


def _day(timestamp: str) -> str:
    try:
        moment = instant(timestamp)
    except ValueError as problem:
        raise invalid(FieldError("shipped_at", "must be an RFC 3339 instant")) from problem
    return f"{moment.day} {moment:%B} {moment.year}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
