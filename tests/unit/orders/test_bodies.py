"""Reading a placement: what is refused, under which name, and that the value is never repeated."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.contracts.fields import MAX_AMOUNT
from shopflow.kit.problems import Kind, Problem
from shopflow.orders.bodies import PlaceOrder, PlaceOrderDecoder

DECODER = PlaceOrderDecoder()
PRODUCT = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
LINE = f'{{"product_id": "{PRODUCT}", "product_name": "Cable", "quantity": 1, "unit_price": 9}}'
ADDRESS = (
    '{"street": "742 Evergreen Terrace", "city": "Springfield", "state": "IL", "zip_code": "62704", "country": "US"}'
)
BODY = f'{{"items": [{LINE}], "shipping_address": {ADDRESS}, "currency": "USD", "notes": "Hello"}}'


def read(text: str) -> PlaceOrder:
    return DECODER.decode(text.encode())


def refused(text: str) -> dict[str, str]:
    """Which fields break which rules."""
    with pytest.raises(Problem) as caught:
        read(text)
    assert caught.value.kind is Kind.INVALID
    return {error.field: error.rule for error in caught.value.errors}


def quantity(text: str) -> str:
    return BODY.replace('"quantity": 1', f'"quantity": {text}')


def price(text: str) -> str:
    return BODY.replace('"unit_price": 9', f'"unit_price": {text}')


def of(name: str) -> Callable[[str], str]:
    """The body with another text in the place of this field's."""
    body: dict[str, Any] = json.loads(BODY)

    def changed(text: str) -> str:
        return json.dumps(body | {name: "@"}).replace('"@"', text)

    return changed


items, currency, notes = of("items"), of("currency"), of("notes")


@pytest.mark.parametrize("text", ["1", "1000000"])
def test_a_quantity_is_a_whole_number_up_to_a_million(text: str) -> None:
    assert read(quantity(text)).items[0].quantity == int(text)


@pytest.mark.row("O-6")
@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "2.0", '"2"', "true", "null", "1e3", "1000001", str(2**31), str(2**63), "9" * 4400]
)
def test_every_other_quantity_is_refused(text: str) -> None:
    assert list(refused(quantity(text))) == ["items[0].quantity"]


@pytest.mark.row("O-7")
@pytest.mark.parametrize("text", ["0.01", "49.99", "1e2", "99999999.99", "49.990000000000000000000000000000000000"])
def test_a_price_is_read_exactly(text: str) -> None:
    assert read(price(text)).items[0].unit_price == Decimal(text)


@pytest.mark.row("O-7")
@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0", "-1", "0.001", "0.005", "1e-7", "1e400", "1e99999999999999999999999", "100000000", "9" * 99),
        *('"1.00"', '"1_0"', '"NaN"', '"Infinity"', '"1e2"', '""', "true", "null", "{}", "[1]"),
    ],
)
def test_every_other_price_is_refused(text: str) -> None:
    assert list(refused(price(text))) == ["items[0].unit_price"]


def test_a_price_as_text_does_not_slip_through_an_escaped_name_or_a_repeated_one() -> None:
    assert list(refused(BODY.replace('"unit_price": 9', '"unit\\u005fprice": "9"'))) == ["items[0].unit_price"]
    assert refused(price('9, "unit_price": "9"')) == {"body": "names a member of an object twice"}


@pytest.mark.row("O-6", "O-7")
def test_a_number_of_thousands_of_digits_is_refused_wherever_it_stands() -> None:
    assert list(refused(price("9" * 4400))) == ["body"]
    assert list(refused(quantity("9" * 4400))) == ["items[0].quantity"]
    assert list(refused(BODY.replace('"notes"', f'"unknown": {"9" * 4400}, "notes"'))) == ["body"]


@pytest.mark.row("O-7")
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_0"])
def test_numbers_that_json_does_not_know_are_malformed(text: str) -> None:
    assert list(refused(price(text))) == ["body"]


@pytest.mark.row("O-11")
@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("null", "items"),
        ("{}", "items"),
        ("[]", "items"),
        ("[null]", "items[0]"),
        ("[[]]", "items[0]"),
        (f"[{', '.join([LINE] * 1001)}]", "items"),
    ],
)
def test_items_are_one_to_a_thousand_objects(text: str, field: str) -> None:
    assert list(refused(items(text))) == [field]


@pytest.mark.row("O-11")
def test_a_thousand_lines_are_accepted_the_same_product_twice_included() -> None:
    assert len(read(items(f"[{', '.join([LINE] * 1000)}]")).items) == 1000


@pytest.mark.row("O-14")
@pytest.mark.parametrize(
    "product_id",
    [
        "f47ac10b58cc4372a5670e02b2c3d479",
        "{f47ac10b-58cc-4372-a567-0e02b2c3d479}",
        "urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "f47ac10b-58cc-4372-a567-0e02b2c3d47",
        " f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479\\n",
        "",
    ],
)
def test_other_spellings_of_a_uuid_are_refused(product_id: str) -> None:
    assert list(refused(BODY.replace(PRODUCT, product_id))) == ["items[0].product_id"]


@pytest.mark.row("O-14")
def test_upper_case_uuids_and_the_prds_own_samples_are_accepted() -> None:
    for product_id in ("F47AC10B-58CC-4372-A567-0E02B2C3D479", "c3d4e5f6-a7b8-9012-cdef-123456789012"):
        text = BODY.replace(PRODUCT, product_id)
        assert read(text).items[0].product_id == product_id


@pytest.mark.row("O-16")
@pytest.mark.parametrize("text", ['"usd"', '"ZZZ"', '""', "null", "1", '"US"'])
def test_other_currencies_are_refused(text: str) -> None:
    assert list(refused(currency(text))) == ["currency"]


@pytest.mark.row("O-16")
def test_a_missing_currency_is_usd_and_missing_notes_and_state_are_null() -> None:
    german = ADDRESS.replace('"state": "IL", ', "").replace("US", "DE")
    body = read(f'{{"items": [{LINE}], "shipping_address": {german}}}')
    assert (body.currency, body.notes, body.address.state) == ("USD", None, None)


@pytest.mark.row("O-12")
@pytest.mark.parametrize("character", ["x", "é", "\u202e", "😀", "e\u0301"[1]])
def test_limits_of_texts_are_counted_in_code_points(character: str) -> None:
    assert read(notes(json.dumps(character * 500))).notes == character * 500
    assert list(refused(notes(json.dumps(character * 501)))) == ["notes"]
    named = BODY.replace('"Cable"', json.dumps("x" + character * 199))
    assert len(read(named).items[0].product_name) == 200
    assert list(refused(BODY.replace('"Cable"', json.dumps("x" + character * 200)))) == ["items[0].product_name"]


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0\u2003"])
def test_blank_names_are_refused(text: str) -> None:
    assert list(refused(BODY.replace('"Cable"', json.dumps(text)))) == ["items[0].product_name"]


@pytest.mark.row("O-12")
@pytest.mark.parametrize("text", ['"\\u0000"', '"\\ud800"', '"\\udc00x"', '"\x00"'])
def test_nul_and_lone_surrogates_are_refused(text: str) -> None:
    assert list(refused(notes(text))) == ["body"]


@pytest.mark.row("O-10")
def test_what_the_server_computes_is_ignored_when_it_is_sent() -> None:
    forged = BODY.replace('"notes"', '"id": 1, "user_id": 1, "status": "delivered", "total_amount": 0.01, "notes"')
    forged = forged.replace('"quantity"', '"subtotal": 0.01, "quantity"')
    assert read(forged) == read(BODY)


def test_everything_that_is_wrong_is_told_at_once_and_no_value_is_repeated() -> None:
    text = price('"31337"').replace('"Cable"', '" "').replace('"US"', '"SECRET"').replace('"USD"', '"SECRET"')
    broken = refused(text)
    assert set(broken) == {
        "items[0].unit_price",
        "items[0].product_name",
        "shipping_address.country",
        "currency",
    }
    assert not any(value in str(broken) for value in ("31337", "SECRET"))


@given(st.decimals(min_value=Decimal("0.01"), max_value=MAX_AMOUNT, places=2), st.integers(1, 100))
def test_what_is_accepted_is_never_beyond_the_column_and_what_is_refused_is(amount: Decimal, count: int) -> None:
    text = price(str(amount)).replace('"quantity": 1', f'"quantity": {count}')
    if amount * count <= MAX_AMOUNT:
        assert sum(line.subtotal for line in read(text).lines) == amount * count
    else:
        assert list(refused(text)) == ["items[0]"]


@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_a_placement_or_a_problem(raw: bytes) -> None:
    with pytest.raises(Problem):
        DECODER.decode(raw)
