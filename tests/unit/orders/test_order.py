"""The state machine, the totals and the rules of an order, without anything around them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import product
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.contracts.events import EventType
from shopflow.contracts.fields import MAX_AMOUNT
from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Address, Line, Status
from shopflow.kit.problems import Kind, Problem
from shopflow.orders import order

PENDING, CONFIRMED, SHIPPED, DELIVERED = Status
ALLOWED = {(PENDING, CONFIRMED), (CONFIRMED, SHIPPED), (SHIPPED, DELIVERED)}
OWNER = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
STRANGER = UUID("00000000-0000-0000-0000-000000000001")
NOW = datetime(2026, 2, 17, 11, 0, tzinfo=UTC)

prices = st.decimals(min_value=Decimal("0.01"), max_value=MAX_AMOUNT, places=2)
quantities = st.integers(min_value=1, max_value=1_000_000)


def line(price: str = "1", quantity: int = 1) -> Line:
    return order.line(product_id=str(OWNER), product_name="Cable", quantity=quantity, unit_price=Decimal(price))


@pytest.mark.row("O-3")
@pytest.mark.parametrize(("current", "target"), list(product(Status, Status)))
def test_of_the_sixteen_pairs_of_states_three_are_steps_four_are_conflicts_and_nine_are_invalid(
    current: Status, target: Status
) -> None:
    if (current, target) in ALLOWED:
        step = order.step(current, target)
        assert (step.source, step.target) == (current, target)
        return
    with pytest.raises(Problem) as caught:
        order.step(current, target)
    expected = (Kind.CONFLICT, "already-in-state") if current is target else (Kind.INVALID, "invalid-transition")
    assert (caught.value.kind, caught.value.code) == expected


def test_each_step_sets_its_own_timestamp_and_only_shipping_is_announced() -> None:
    assert [(step.target, step.stamp, step.announces) for step in order.STEPS] == [
        (CONFIRMED, "confirmed_at", None),
        (SHIPPED, "shipped_at", EventType.ORDER_SHIPPED),
        (DELIVERED, "delivered_at", None),
    ]


@pytest.mark.parametrize("status", list(Status))
def test_only_admins_have_transitions_and_those_are_the_ones_that_step_accepts(status: Status) -> None:
    assert order.allowed_transitions(status, Role.ADMIN) == [to for at, to in sorted(ALLOWED) if at is status]
    assert order.allowed_transitions(status, Role.CUSTOMER) == []
    assert order.allowed_transitions(status, Role.SERVICE) == []


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("stamps", list(product([None, NOW], repeat=3)))
def test_the_timestamps_of_a_state_are_exactly_those_of_the_states_it_went_through(
    status: Status, stamps: tuple[datetime | None, ...]
) -> None:
    confirmed_at, shipped_at, delivered_at = stamps
    expected = {
        PENDING: (None, None, None),
        CONFIRMED: (NOW, None, None),
        SHIPPED: (NOW, NOW, None),
        DELIVERED: (NOW, NOW, NOW),
    }
    holds = order.stamps_hold(status, confirmed_at=confirmed_at, shipped_at=shipped_at, delivered_at=delivered_at)
    assert holds == (stamps == expected[status])


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller(str(OWNER), None, Role.CUSTOMER), True),
        (Caller(str(OWNER).upper(), None, Role.CUSTOMER), True),
        (Caller(str(STRANGER), None, Role.CUSTOMER), False),
        (Caller(str(STRANGER), None, Role.ADMIN), True),
        (Caller("notification-service", None, Role.SERVICE), True),
    ],
)
def test_an_order_is_read_by_its_owner_admins_and_services(caller: Caller, may: bool) -> None:
    assert order.may_read(caller, OWNER) is may


@given(price=prices, quantity=quantities)
def test_a_subtotal_is_exactly_quantity_times_price(price: Decimal, quantity: int) -> None:
    made = line(str(price), quantity)
    assert Fraction(made.subtotal) == Fraction(price) * quantity
    assert made.unit_price == price


@pytest.mark.row("O-9")
@given(st.lists(st.tuples(prices, quantities), min_size=1, max_size=50))
def test_a_total_is_exactly_the_sum_of_its_subtotals_in_any_order(parts: list[tuple[Decimal, int]]) -> None:
    lines = [line(str(price), quantity) for price, quantity in parts]
    exact = sum((Fraction(price) * quantity for price, quantity in parts), Fraction(0))
    assert Fraction(order.total(lines)) == exact == Fraction(order.total(lines[::-1]))


@given(price=prices, quantity=quantities)
def test_amounts_are_written_as_short_numbers_without_an_exponent(price: Decimal, quantity: int) -> None:
    text = msgspec.json.Encoder(decimal_format="number").encode(line(str(price), quantity)).decode()
    read = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    assert read["unit_price"] == price
    for name in ("unit_price", "subtotal"):
        number = str(read[name])
        assert "E" not in number
        assert "." not in number or not number.endswith("0")


@pytest.mark.row("O-9")
def test_a_thousand_lines_of_one_cent_are_ten() -> None:
    assert str(order.total([line("0.01")] * 1000)) == "10"


@pytest.mark.row("O-9")
def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    assert order.total([line("0.1"), line("0.2")]) == Decimal("0.3")


@pytest.mark.parametrize(
    ("price", "currency", "accepted"),
    [
        ("0.01", "USD", True),
        ("49.99", "USD", True),
        ("49.9900000000000000000000000000000000", "USD", True),
        ("1E+2", "USD", True),
        ("99999999.99", "USD", True),
        ("0", "USD", False),
        ("-0", "USD", False),
        ("-1", "USD", False),
        ("0.001", "USD", False),
        ("0.005", "USD", False),
        ("1E-7", "USD", False),
        ("1E-999999", "USD", False),
        ("1E+400", "USD", False),
        ("1E+999999", "USD", False),
        ("49.9900000000000000000000000000000001", "USD", False),
        ("99999999.991", "USD", False),
        ("100000000", "USD", False),
        ("1200", "JPY", True),
        ("1200.0", "JPY", True),
        ("1200.5", "JPY", False),
        ("1.234", "KWD", False),
        ("1.23", "KWD", True),
        ("1.23", "no currency", True),
    ],
)
def test_a_price_is_above_zero_storable_and_no_finer_than_its_currency(
    price: str,
    currency: str,
    accepted: bool,
) -> None:
    assert (order.price_rule(Decimal(price), currency) is None) is accepted


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ([line("99999999.99")], []),
        ([line("99999999.98"), line("0.01")], []),
        ([line("99999999.99"), line("0.01")], ["items"]),
        ([line("1"), line("100.01", 1_000_000), line("50000000", 2)], ["items[1]", "items[2]"]),
    ],
)
def test_subtotals_and_totals_beyond_the_column_are_refused_before_the_database(
    lines: list[Line], fields: list[str]
) -> None:
    assert [error.field for error in order.amount_rules(lines)] == fields


@pytest.mark.row("O-15")
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"country": "DE", "state": None}, []),
        ({"country": "us"}, ["country"]),
        ({"country": "UK"}, ["country"]),
        ({"country": "XX"}, ["country"]),
        ({"country": "U"}, ["country"]),
        ({"country": "USA"}, ["country"]),
        ({"country": ""}, ["country"]),
        ({"state": None}, ["state"]),
        ({"street": " ", "city": "\t", "state": "\u3000", "zip_code": "\n"}, ["street", "city", "state", "zip_code"]),
    ],
)
def test_an_address_names_a_real_country_a_state_in_the_us_and_nothing_blank(
    changes: dict[str, str | None], fields: list[str]
) -> None:
    address = Address("742 Evergreen Terrace", "Springfield", "IL", "62704", "US")
    broken = order.address_rules(msgspec.structs.replace(address, **changes))
    assert [error.field for error in broken] == [f"shipping_address.{field}" for field in fields]


@pytest.mark.parametrize(
    ("currency", "known"), [("USD", True), ("JPY", True), ("usd", False), ("ZZZ", False), ("", False), ("USDX", False)]
)
def test_currencies_are_those_of_iso_4217_in_upper_case(currency: str, known: bool) -> None:
    assert (order.currency_rule(currency) is None) is known
