"""Values at the edge of what an order may hold, through the front door: what is stored, what is a 400 (O-6 to O-16).

The rules themselves are tested in tests/unit/orders; here it is that they hold for a caller, and that the database has
nothing to object.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.service.orders.shop import Shop, placement

LINE = placement()["items"][0]
ADDRESS = placement()["shipping_address"]


async def answered(shop: Shop, body: str) -> tuple[int, Any]:
    """Status and body of a POST with exactly this text."""
    headers = {"Authorization": f"Bearer {shop.customer}", "Content-Type": "application/json"}
    async with shop.http.post(f"{shop.url}/orders", data=body.encode(), headers=headers) as response:
        return response.status, json.loads(await response.read(), parse_float=Decimal)


async def statuses(shop: Shop, bodies: dict[str, str]) -> dict[str, int]:
    """The status of each body."""
    return {name: (await answered(shop, body))[0] for name, body in bodies.items()}


def with_line(field: str, text: str) -> str:
    """A placement of one line in which one field is this text."""
    return json.dumps(placement(items=[LINE | {"quantity": 1} | {field: "@"}])).replace('"@"', text)


async def all_refused(shop: Shop, bodies: dict[str, str]) -> bool:
    """Whether each body is a 400 and nothing was stored."""
    assert await statuses(shop, bodies) == dict.fromkeys(bodies, 400)
    return await shop.rows("SELECT FROM orders") == []


@pytest.mark.row("O-6")
async def test_only_plain_whole_numbers_in_range_are_quantities(shop: Shop) -> None:
    bad = ["0", "-1", "1.5", "2.0", '"2"', "true", "null", "1e3", str(2**31), str(2**63), "1" + "0" * 4300]
    assert await all_refused(shop, {text[:20]: with_line("quantity", text) for text in bad})
    assert (await answered(shop, with_line("quantity", "1000000")))[0] == 201


@pytest.mark.row("O-7")
async def test_only_numbers_above_zero_that_the_column_holds_are_prices(shop: Shop) -> None:
    bad = ["0", "-0", "-1", "0.001", "0.005", "1e-7", "1e400", "NaN", "Infinity", '"1.00"', "true", "100000000"]
    assert await all_refused(shop, {text: with_line("unit_price", text) for text in bad})
    status, order = await answered(shop, with_line("unit_price", "99999999.99"))
    assert (status, order["total_amount"]) == (201, Decimal("99999999.99"))


@pytest.mark.row("O-9")
async def test_a_thousand_lines_of_a_cent_are_ten(shop: Shop) -> None:
    status, order = await answered(
        shop, json.dumps(placement(items=[LINE | {"quantity": 1, "unit_price": 0.01}] * 1000))
    )
    assert (status, order["total_amount"]) == (201, 10)
    assert [row["total_amount"] for row in await shop.rows("SELECT total_amount FROM orders")] == [Decimal(10)]


@pytest.mark.row("O-10")
async def test_what_the_server_decides_is_ignored_when_a_client_sends_it(shop: Shop) -> None:
    decided: dict[str, Any] = {
        "id": "00000000-0000-0000-0000-000000000001",
        "user_id": shop.auth.callers[shop.stranger].id,
        "status": "delivered",
        "total_amount": 0.01,
        "created_at": "2020-01-01T00:00:00.000Z",
        "updated_at": "2020-01-01T00:00:00.000Z",
        "delivered_at": "2020-01-01T00:00:00.000Z",
    }
    order = await shop.place(**decided, items=[LINE | {"subtotal": 0.01}])
    assert {name for name in decided if order[name] == decided[name]} == set()
    assert (order["status"], order["total_amount"], order["delivered_at"]) == ("pending", 99.98, None)
    assert order["user_id"] == shop.auth.callers[shop.customer].id
    assert order["items"][0]["subtotal"] == 99.98


@pytest.mark.row("O-11")
async def test_items_are_one_to_a_thousand_lines(shop: Shop) -> None:
    deep = json.loads("[" * 20 + "]" * 20)
    bad = {
        "missing": ...,
        "null": None,
        "an object": {},
        "none": [],
        "null inside": [None],
        "1001": [LINE] * 1001,
        "deep": deep,
        "a text": "items",
    }
    assert await all_refused(shop, {name: json.dumps(placement(items=items)) for name, items in bad.items()})
    assert len((await shop.place(items=[LINE] * 1000))["items"]) == 1000


@pytest.mark.row("O-12")
async def test_texts_are_measured_in_code_points_and_hold_no_nul_and_no_half_character(shop: Shop) -> None:
    whole, long = "\U0001f600" * 500, "\U0001f600" * 501
    assert (await shop.place(notes=whole))["notes"] == whole
    assert (await shop.place(items=[LINE | {"product_name": whole[:200]}]))["items"][0]["product_name"] == whole[:200]
    halves = {text: json.dumps(placement(notes="@")).replace('"@"', text) for text in ('"\\u0000"', '"\\ud83d"')}
    bad = {
        "notes": json.dumps(placement(notes=long)),
        "name": json.dumps(placement(items=[LINE | {"product_name": whole[:201]}])),
        "street": json.dumps(placement(shipping_address=ADDRESS | {"street": whole[:201]})),
        "zip": json.dumps(placement(shipping_address=ADDRESS | {"zip_code": whole[:21]})),
        **halves,
    }
    assert await statuses(shop, bad) == dict.fromkeys(bad, 400)
    assert len(await shop.rows("SELECT FROM orders")) == 2


@pytest.mark.row("O-14")
async def test_products_are_named_by_uuids_in_their_canonical_form(shop: Shop) -> None:
    plain = LINE["product_id"]
    bad = [plain.replace("-", ""), f"{{{plain}}}", f"urn:uuid:{plain}", f"{plain} ", plain[:-1], ""]
    assert await all_refused(shop, {text: with_line("product_id", json.dumps(text)) for text in bad})
    good = [plain, plain.upper(), "c3d4e5f6-a7b8-9012-cdef-123456789012", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]
    assert set((await statuses(shop, {text: with_line("product_id", json.dumps(text)) for text in good})).values()) == {
        201
    }


@pytest.mark.row("O-15")
async def test_countries_are_real_and_the_us_have_states(shop: Shop) -> None:
    bad = {country: ADDRESS | {"country": country} for country in ("us", "UK", "XX", "U")}
    without_state = {name: value for name, value in ADDRESS.items() if name != "state"}
    bad |= {"US without state": without_state, "US with null": ADDRESS | {"state": None}}
    assert await all_refused(shop, {name: json.dumps(placement(shipping_address=to)) for name, to in bad.items()})
    order = await shop.place(shipping_address=without_state | {"country": "DE"})
    assert order["shipping_address"]["state"] is None


@pytest.mark.row("O-16")
async def test_currencies_are_iso_codes_and_usd_when_missing(shop: Shop) -> None:
    bad = {str(value): json.dumps(placement(currency=value)) for value in ("usd", "ZZZ", "", None, 840)}
    assert await all_refused(shop, bad)
    assert (await shop.place(currency=...))["currency"] == "USD"
    assert (await shop.place(currency="EUR"))["currency"] == "EUR"
