"""POST /orders: what is stored, what is answered, and what is refused without a trace."""

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from tests.service.orders.shop import Auth, Shop, opened, placement, settings_of

from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Order
from shopflow.kit.service import Application

Serve = Callable[[Application], Awaitable[str]]

STORED = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM order_history) + (SELECT count(*) FROM outbox)"


async def test_an_order_is_answered_with_the_fields_of_the_prds_sample_in_its_order(shop: Shop, root: Path) -> None:
    sample = json.loads((root / "tests/agreement/samples/orders_place_response.json").read_bytes())
    order = await shop.place()
    assert list(order) == list(sample) == list(Order.__struct_fields__)
    computed = ("id", "user_id", "created_at", "updated_at")
    assert {k: v for k, v in order.items() if k not in computed} == {
        k: v for k, v in sample.items() if k not in computed
    }
    assert order["user_id"] == shop.auth.callers[shop.customer].id
    assert order["created_at"] == order["updated_at"]


async def test_order_history_and_event_are_stored_together_and_tell_the_same(shop: Shop) -> None:
    order = await shop.place(headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    [stored] = await shop.rows("SELECT * FROM orders")
    [entry] = await shop.rows("SELECT * FROM order_history")
    [event] = await shop.rows("SELECT * FROM outbox")
    assert str(stored["id"]) == str(entry["order_id"]) == str(event["subject_id"]) == order["id"]
    assert stored["total_amount"] == Decimal("112.97")
    assert stored["created_at"] == stored["updated_at"] == entry["at"]
    assert (entry["from_status"], entry["to_status"]) == (None, "pending")
    assert (entry["actor_id"], entry["actor_role"]) == (order["user_id"], "customer")
    assert entry["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    body = json.loads(event["body"])
    assert body["event_id"] == str(event["event_id"])
    assert body["timestamp"] == order["created_at"]
    assert body["payload"]["order_id"] == order["id"]
    assert event["routing_key"] == "order.created"
    headers = json.loads(event["headers"])
    assert headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert event["published_at"] is None


async def test_an_order_can_be_placed_and_read_while_the_broker_is_down(shop: Shop) -> None:
    order = await shop.place()
    assert (await shop.ask("GET", f"/orders/{order['id']}", shop.customer, expect=200))["status"] == "pending"
    ready = await shop.ask("GET", "/ready", None, expect=200)
    assert ready == {
        "status": "degraded",
        "checks": {"database": "ok", "broker": "unavailable", "auth-service": "ok", "rate-limit-store": "ok"},
    }


async def test_admins_place_orders_of_their_own(shop: Shop) -> None:
    assert (await shop.place(shop.admin))["user_id"] == shop.auth.callers[shop.admin].id


async def test_numbers_go_in_and_out_as_exact_numbers(shop: Shop) -> None:
    body = json.dumps(placement()).replace("49.99", "49.990").replace("12.99", "1e1")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shop.customer}"}
    async with shop.http.post(f"{shop.url}/orders", data=body, headers=headers) as response:
        text = await response.text()
    assert '"unit_price":49.99,"subtotal":99.98' in text
    assert '"unit_price":10,"subtotal":10' in text
    assert '"total_amount":109.98' in text
    order_id = json.loads(text)["id"]
    async with shop.http.get(f"{shop.url}/orders/{order_id}", headers=headers) as response:
        assert (await response.text()).startswith(text[:-1])


@pytest.mark.row("O-8")
@pytest.mark.parametrize(
    ("prices", "status"),
    [(["99999999.98", "0.01"], 201), (["99999999.99", "0.01"], 400), (["99999999.99"], 201), (["100000000"], 400)],
)
async def test_totals_are_accepted_up_to_what_the_column_holds(shop: Shop, prices: list[str], status: int) -> None:
    line = placement()["items"][0] | {"quantity": 1}
    items = [line | {"unit_price": float(price)} for price in prices]
    answer = await shop.ask("POST", "/orders", shop.customer, expect=status, json=placement(items=items))
    if status == 201:
        assert str(answer["total_amount"]) == "99999999.99"


@pytest.mark.row("O-12")
@pytest.mark.parametrize(
    "text",
    [
        "RTL \u202e override",
        "e" + "\u0301" * 400,
        "👩‍👩‍👧‍👦 😀",
        "tab\there",
        "bell\u0007",
        "'; DROP TABLE orders; --",
        "%s {x}",
    ],
)
async def test_texts_are_stored_and_returned_unchanged(shop: Shop, text: str) -> None:
    address = placement()["shipping_address"] | {"street": text[:200]}
    order = await shop.place(notes=text, shipping_address=address)
    read = await shop.ask("GET", f"/orders/{order['id']}", shop.customer, expect=200)
    assert read["notes"] == order["notes"] == text
    assert read["shipping_address"]["street"] == text[:200]


@pytest.mark.row("O-13", "H-5", "H-6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{} {}",
        b'{"items": [],}',
        b'// comment\n{"items": []}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b'{"notes": "\\u0000"}',
        b'{"notes": "\\ud800"}',
        b'{"items": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps(placement()).encode("utf-16"),
        json.dumps(placement()).encode("utf-16-le"),
        b"\xef\xbb\xbf" + json.dumps(placement()).encode(),
        json.dumps(placement()).encode() + b"{}",
        json.dumps(placement()).encode() + b" x",
        json.dumps(placement()).encode().replace(b'"currency"', b'"currency": "USD", "currency"'),
        json.dumps(placement()).encode().replace(b'"city"', b'"city": "a", "\\u0063ity"'),
        json.dumps(placement()).encode()[:-1] + b',"unknown":' + b"[" * 32 + b"]" * 32 + b"}",
        json.dumps(placement()).encode()[:-1] + b',"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        json.dumps(placement()).encode()[:-1] + b',"unknown":"\\u0000"}',
        json.dumps(placement()).encode()[:-1] + b',"unknown":"\\ud83d"}',
        json.dumps(placement()).encode()[:-1] + b',"unknown":NaN}',
        json.dumps(placement()).encode()[:-1] + b',"unknown":"\xff"}',
        json.dumps(placement()).encode()[:-1] + b",}",
        json.dumps(placement()).encode()[:-1] + b"/**/}",
        json.dumps(placement(items=...)).encode(),
        json.dumps(placement(currency="usd")).encode(),
        json.dumps(placement(notes="x" * 501)).encode(),
        json.dumps(placement(shipping_address=None)).encode(),
    ],
)
async def test_a_bad_body_is_a_400_and_leaves_nothing_behind(shop: Shop, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem = await shop.ask("POST", "/orders", shop.customer, expect=400, data=body, headers=headers)
    assert problem["errors"]
    assert (await shop.rows(STORED))[0][0] == 0


async def test_a_body_beyond_a_mebibyte_is_a_413_and_another_type_a_415(shop: Shop) -> None:
    large = json.dumps(placement(notes="x" * 1024 * 1024)).encode()
    headers = {"Content-Type": "application/json"}
    await shop.ask("POST", "/orders", shop.customer, expect=413, data=BytesIO(large), headers=headers)
    text = {"Content-Type": "text/plain"}
    await shop.ask("POST", "/orders", shop.customer, expect=415, data=json.dumps(placement()), headers=text)
    assert (await shop.rows(STORED))[0][0] == 0


async def test_a_body_without_a_content_type_is_read_as_json(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.customer}"}
    async with shop.http.post(
        f"{shop.url}/orders", data=json.dumps(placement()).encode(), headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        assert response.status == 201


@pytest.mark.row("O-19")
async def test_services_place_and_list_nothing_and_strangers_nothing_at_all(shop: Shop) -> None:
    await shop.ask("POST", "/orders", shop.service, expect=403, json=placement())
    await shop.ask("GET", "/orders", shop.service, expect=403)
    await shop.ask("PATCH", f"/orders/{uuid4()}/status", shop.service, expect=403, json={"status": "confirmed"})
    for method, path in (("POST", "/orders"), ("GET", "/orders"), ("GET", f"/orders/{uuid4()}")):
        assert (await shop.ask(method, path, None, expect=401))["type"] == "urn:shopflow:problem:token-missing"
        assert (await shop.ask(method, path, "junk", expect=401))["type"] == "urn:shopflow:problem:token-invalid"
    assert (await shop.rows(STORED))[0][0] == 0


async def test_who_is_calling_is_asked_before_the_body_is_looked_at(shop: Shop) -> None:
    await shop.ask("POST", "/orders", "junk", expect=401, data=b"{")
    await shop.ask("POST", "/orders", shop.service, expect=403, data=b"{")


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_whatever_auth_service_answers_but_200_is_a_401_that_says_try_again(shop: Shop, status: int) -> None:
    shop.auth.status = status
    problem = await shop.ask("POST", "/orders", shop.customer, expect=401, json=placement())
    assert problem["type"] == "urn:shopflow:problem:authentication-unavailable"
    assert (await shop.rows(STORED))[0][0] == 0


async def test_every_request_is_validated_with_the_callers_own_header_and_trace(shop: Shop) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for _ in range(2):
        await shop.ask("GET", "/orders", shop.customer, expect=200, headers={"traceparent": trace})
    assert len(shop.auth.asked) == 2
    assert {asked["authorization"] for asked in shop.auth.asked} == {f"Bearer {shop.customer}"}
    assert all(asked["traceparent"].startswith(trace[:36]) for asked in shop.auth.asked)


async def test_two_authorization_headers_are_refused_and_not_chosen_from(shop: Shop) -> None:
    headers = [("Authorization", f"Bearer {shop.customer}"), ("Authorization", f"Bearer {shop.stranger}")]
    async with shop.http.get(f"{shop.url}/orders", headers=headers) as response:
        assert response.status == 401


async def test_without_auth_service_or_database_the_answer_is_a_503_with_retry_after(
    auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> None:
    shop = await opened(settings_of(auth_service_url=auth.url), auth, serving, http)
    headers = {"Authorization": f"Bearer {shop.customer}"}
    async with http.post(f"{shop.url}/orders", json=placement(), headers=headers) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    async with http.get(f"{shop.url}/ready") as response:
        assert (response.status, (await response.json())["checks"]["database"]) == (503, "unavailable")
    shop = await opened(settings_of(), auth, serving, http)
    async with http.post(f"{shop.url}/orders", json=placement(), headers=headers) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_a_users_requests_beyond_the_limit_are_429_over_all_routes_and_services_are_not_counted(
    settings: Any, auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> None:
    limited = settings_of(database_url=settings.database_url, auth_service_url=auth.url, rate_limit_orders="3/day")
    shop = await opened(limited, auth, serving, http)
    order = await shop.place()
    await shop.ask("GET", "/orders", shop.customer, expect=200)
    await shop.ask("GET", f"/orders/{order['id']}", shop.customer, expect=200)
    await shop.ask("GET", "/orders", shop.customer, expect=429)
    await shop.ask("GET", "/orders", auth.token(Role.CUSTOMER), expect=200)
    for _ in range(5):
        await shop.ask("GET", f"/orders/{order['id']}", shop.service, expect=200)


async def test_placed_orders_are_counted_in_the_metrics(shop: Shop) -> None:
    order = await shop.place()
    await shop.advance(order["id"], "confirmed")
    async with shop.http.get(f"{shop.url}/metrics") as response:
        text = await response.text()
    assert "shopflow_orders_placed_total 1.0" in text
    assert 'shopflow_order_transitions_total{to="confirmed"} 1.0' in text
