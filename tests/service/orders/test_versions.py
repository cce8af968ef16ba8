"""ETag and If-Match: which version of an order somebody saw, and that nothing is done to another one (B5)."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tests.service.orders.shop import Shop, placement

LIFE = ("pending", "confirmed", "shipped", "delivered")


async def patched(
    shop: Shop, order_id: str, status: str, *conditions: str, token: str = ""
) -> tuple[int, Any, str | None]:
    """Status, body and ETag of a transition under these If-Match fields."""
    headers = [("Authorization", f"Bearer {token or shop.admin}"), *(("If-Match", each) for each in conditions)]
    path = f"{shop.url}/orders/{order_id}/status"
    async with shop.http.patch(path, json={"status": status}, headers=headers) as response:
        return response.status, await response.json(content_type=None), response.headers.get("ETag")


async def tag(shop: Shop, order_id: str, token: str) -> str | None:
    headers = {"Authorization": f"Bearer {token}"}
    async with shop.http.get(f"{shop.url}/orders/{order_id}", headers=headers) as response:
        assert response.status == 200
        return response.headers.get("ETag")


async def test_the_tag_is_the_state_for_whoever_reads_and_with_every_answer(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.customer}"}
    async with shop.http.post(f"{shop.url}/orders", json=placement(), headers=headers) as response:
        order, seen = await response.json(), response.headers["ETag"]
    for index, state in enumerate(LIFE):
        assert seen == f'"{state}"'
        assert {await tag(shop, order["id"], each) for each in (shop.customer, shop.admin, shop.service)} == {seen}
        if state != "delivered":
            status, _, answered = await patched(shop, order["id"], LIFE[index + 1], seen)
            assert (status, answered) == (200, f'"{LIFE[index + 1]}"')
            seen = answered or ""


@pytest.mark.row("O-20")
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (('"pending"',), 200),
        (("*",), 200),
        (('"shipped", "pending"',), 200),
        (('"shipped"', '"pending"'), 200),
        (('"confirmed"',), 412),
        (('"shipped", "delivered"',), 412),
        (('W/"pending"',), 412),
        (('""',), 412),
        (("pending",), 400),
        (('"pending',), 400),
        (("",), 400),
        (('*, "pending"',), 400),
        (('w/"pending"',), 400),
    ],
)
async def test_a_transition_happens_only_under_a_condition_that_holds(
    shop: Shop, conditions: tuple[str, ...], expected: int
) -> None:
    order = await shop.place()
    before = await shop.rows("SELECT * FROM orders")
    status, body, answered = await patched(shop, order["id"], "confirmed", *conditions)
    assert status == expected
    if expected == 200:
        assert answered == '"confirmed"'
        return
    assert answered is None
    code = "precondition-failed" if expected == 412 else "invalid-request"
    assert body["type"] == f"urn:shopflow:problem:{code}"
    assert await shop.rows("SELECT * FROM orders") == before


async def test_a_stale_condition_comes_before_what_the_transition_itself_breaks(shop: Shop) -> None:
    order = await shop.place()
    await shop.advance(order["id"], "confirmed")
    for target in ("confirmed", "delivered", "shipped"):
        assert (await patched(shop, order["id"], target, '"pending"'))[0] == 412
    assert (await patched(shop, order["id"], "confirmed", '"confirmed"'))[0] == 409
    assert (await patched(shop, order["id"], "delivered", "*"))[0] == 400


async def test_role_syntax_and_existence_come_before_a_condition_that_does_not_hold(shop: Shop) -> None:
    order = await shop.place()
    assert (await patched(shop, order["id"], "confirmed", '"x"', token=shop.customer))[0] == 403
    assert (await patched(shop, "nonsense", "confirmed", '"x"'))[0] == 400
    assert (await patched(shop, order["id"], "cancelled", '"x"'))[0] == 400
    assert (await patched(shop, str(uuid4()), "confirmed", '"x"'))[0] == 404
    assert (await patched(shop, str(uuid4()), "confirmed", "*"))[0] == 404
    assert (await patched(shop, str(uuid4()), "confirmed", "malformed"))[0] == 400


async def test_of_twenty_who_saw_the_same_version_one_goes_on_and_the_others_learn_that_it_changed(shop: Shop) -> None:
    order = await shop.place()
    answers = await asyncio.gather(*(patched(shop, order["id"], "confirmed", '"pending"') for _ in range(20)))
    assert sorted(status for status, _, _ in answers) == [200] + [412] * 19
    assert len(await shop.rows("SELECT FROM order_history")) == 2


async def test_openapi_shows_the_headers_and_what_they_lead_to(shop: Shop) -> None:
    document = await shop.ask("GET", "/openapi.json", None, expect=200)
    place, read, advance = (
        document["paths"][path][method]
        for path, method in (("/orders", "post"), ("/orders/{order_id}", "get"), ("/orders/{order_id}/status", "patch"))
    )
    taken = {each["name"]: each for operation in (place, advance) for each in operation["parameters"]}
    assert (taken["Idempotency-Key"]["in"], taken["Idempotency-Key"]["required"]) == ("header", False)
    assert (taken["If-Match"]["in"], taken["If-Match"]["required"]) == ("header", False)
    assert set(place["responses"]["201"]["headers"]) == {"ETag", "Idempotency-Replayed"}
    assert set(read["responses"]["200"]["headers"]) == set(advance["responses"]["200"]["headers"]) == {"ETag"}
    assert {"409", "422"} <= set(place["responses"])
    assert "412" in advance["responses"]
    assert set(place["responses"]["201"]["content"]) == {"application/json"}
