"""GET /orders and GET /orders/:id: who sees what, in which order, in pages of which bounds."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.service.orders.shop import Shop, placement

from shopflow.contracts.orders import Order
from shopflow.kit import pages
from shopflow.orders.listing import Direction, Filter, SortBy, bearing


async def listed(shop: Shop, query: str = "", token: str | None = None) -> Any:
    return await shop.ask("GET", f"/orders{query}", token or shop.customer, expect=200)


def ids(page: Any) -> list[str]:
    return [each["id"] for each in page["data"]]


async def test_an_order_is_read_by_its_owner_and_admins_with_what_they_may_do_next(shop: Shop) -> None:
    order = await shop.place()
    path = f"/orders/{order['id']}"
    assert await shop.ask("GET", path, shop.customer, expect=200) == order | {"allowed_transitions": []}
    assert await shop.ask("GET", path, shop.admin, expect=200) == order | {"allowed_transitions": ["confirmed"]}
    for status in ("confirmed", "shipped", "delivered"):
        await shop.advance(order["id"], status)
    assert (await shop.ask("GET", path, shop.admin, expect=200))["allowed_transitions"] == []


async def test_a_service_reads_any_order_with_exactly_the_prds_fields(shop: Shop) -> None:
    order = await shop.place()
    read = await shop.ask("GET", f"/orders/{order['id']}", shop.service, expect=200)
    assert read == order
    assert list(read) == list(Order.__struct_fields__)


@pytest.mark.row("O-18")
async def test_a_stranger_is_a_403_an_unknown_id_a_404_and_a_malformed_one_a_400(shop: Shop) -> None:
    order = await shop.place()
    for token in (shop.customer, shop.admin, shop.service):
        await shop.ask("GET", f"/orders/{uuid4()}", token, expect=404)
        for bad in (
            "1",
            order["id"].replace("-", ""),
            f"{{{order['id']}}}",
            f"{order['id']}%0A",
            "%F0%9F%98%80",
        ):
            await shop.ask("GET", f"/orders/{bad}", token, expect=400)
        await shop.ask("GET", "/orders/%00", token, expect=404)
    await shop.ask("GET", f"/orders/{order['id']}", shop.stranger, expect=403)
    for token in (shop.admin, shop.service):
        await shop.ask("GET", f"/orders/{order['id']}", token, expect=200)
    assert (await shop.ask("GET", f"/orders/{order['id'].upper()}", shop.customer, expect=200))["id"] == order["id"]


async def test_a_list_holds_ones_own_orders_as_in_the_prds_sample(shop: Shop) -> None:
    await shop.place(shop.stranger)
    order = await shop.place()
    fields = ("id", "status", "total_amount", "currency", "created_at")
    assert await listed(shop) == {
        "data": [{name: order[name] for name in fields}],
        "pagination": {"page": 1, "limit": 20, "total_items": 1, "total_pages": 1},
    }
    assert (await listed(shop, token=shop.admin))["data"] == []


async def test_nothing_is_an_empty_first_page(shop: Shop) -> None:
    empty = {"data": [], "pagination": {"page": 1, "limit": 20, "total_items": 0, "total_pages": 0}}
    assert await listed(shop) == empty


@pytest.mark.row("O-17")
async def test_pages_follow_one_another_newest_first_and_past_the_end_is_empty(shop: Shop) -> None:
    placed = [(await shop.place())["id"] for _ in range(5)]
    pages = [await listed(shop, f"?page={number}&limit=2") for number in (1, 2, 3)]
    assert [each for page in pages for each in ids(page)] == placed[::-1]
    assert [page["pagination"] for page in pages] == [
        {"page": number, "limit": 2, "total_items": 5, "total_pages": 3} for number in (1, 2, 3)
    ]
    for number in (4, 10**18, 10**30):
        page = await listed(shop, f"?page={number}&limit=2")
        assert page["data"] == []
        assert page["pagination"] == {"page": number, "limit": 2, "total_items": 5, "total_pages": 3}


@pytest.mark.parametrize("sort_by", ["created_at", "updated_at", "total_amount", "status"])
@pytest.mark.parametrize("sort_dir", ["asc", "desc"])
async def test_lists_are_sorted_by_the_asked_field_and_ties_by_id(shop: Shop, sort_by: str, sort_dir: str) -> None:
    line = placement()["items"][0]
    for price in (3, 1, 2, 2, 2):
        await shop.place(items=[line | {"unit_price": price}])
    rows = await shop.rows("SELECT id, created_at, updated_at, total_amount, status FROM orders")
    await shop.advance(str(rows[0]["id"]), "confirmed")
    rows = await shop.rows("SELECT id, created_at, updated_at, total_amount, status FROM orders")
    rows.sort(key=lambda row: (row[sort_by], row["id"]), reverse=sort_dir == "desc")
    found = ids(await listed(shop, f"?sort_by={sort_by}&sort_dir={sort_dir}"))
    assert found == [str(row["id"]) for row in rows]
    paged = [
        ids(await listed(shop, f"?sort_by={sort_by}&sort_dir={sort_dir}&limit=1&page={n}"))[0] for n in range(1, 6)
    ]
    assert paged == found


async def test_a_list_may_hold_only_one_state(shop: Shop) -> None:
    confirmed, pending = await shop.place(), await shop.place()
    await shop.advance(confirmed["id"], "confirmed")
    assert ids(await listed(shop, "?status=confirmed")) == [confirmed["id"]]
    assert ids(await listed(shop, "?status=pending")) == [pending["id"]]
    shipped = await listed(shop, "?status=shipped")
    assert shipped["pagination"]["total_items"] == 0


@pytest.mark.row("O-17")
@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=1.5",
        "page=",
        "page=1%00",
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=-9223372036854775809",
        "status=cancelled",
        "status=",
        "status=PENDING",
        "status=null",
        "sort_by=id",
        "sort_by=created_at%3B%20DROP%20TABLE%20orders",
        "sort_by=created_at&sort_by=created_at",
        "page=1&page=2",
        "limit=1&limit=1",
        "status=pending&status=shipped",
        "sort_dir=up",
        "sort_dir=",
    ],
)
async def test_parameters_outside_their_bounds_are_a_400_that_names_them(shop: Shop, query: str) -> None:
    problem = await shop.ask("GET", f"/orders?{query}", shop.customer, expect=400)
    assert [error["field"] for error in problem["errors"]] == [query.partition("=")[0]]


@pytest.mark.row("O-17")
async def test_unknown_parameters_are_ignored(shop: Shop) -> None:
    assert (await listed(shop, "?colour=blue&Page=7"))["pagination"]["page"] == 1


async def test_admins_list_another_users_orders_everybodys_and_those_they_search_for(shop: Shop) -> None:
    owner = shop.auth.callers[shop.customer].id
    mine, other = await shop.place(), await shop.place(shop.stranger)
    assert ids(await listed(shop, f"?user_id={owner}", shop.admin)) == [mine["id"]]
    assert ids(await listed(shop, "?scope=all", shop.admin)) == [other["id"], mine["id"]]
    assert ids(await listed(shop, f"?scope=all&id_prefix={mine['id'][:11]}", shop.admin)) == [mine["id"]]
    assert ids(await listed(shop, "?scope=all&created_to=2020-01-01T00:00:00Z", shop.admin)) == []
    both = await listed(shop, "?scope=all&created_from=2020-01-01T00:00:00%2B02:00&status=pending&limit=1", shop.admin)
    assert (ids(both), both["pagination"]["total_items"]) == ([other["id"]], 2)


@pytest.mark.parametrize(
    "query", ["user_id={me}", "scope=all", "id_prefix=a", "created_from=2020-01-01T00:00:00Z", "created_to=x"]
)
async def test_only_admins_may_ask_for_more_than_their_own(shop: Shop, query: str) -> None:
    path = "/orders?" + query.format(me=shop.auth.callers[shop.customer].id)
    await shop.ask("GET", path, shop.customer, expect=403)


async def test_openapi_shows_every_path_with_numbers_for_amounts(shop: Shop) -> None:
    document = await shop.ask("GET", "/openapi.json", None, expect=200)
    assert {"/orders", "/orders/{order_id}", "/orders/{order_id}/status", "/orders/{order_id}/history"} <= set(
        document["paths"]
    )
    schemas = document["components"]["schemas"]
    assert schemas["PlaceLine"]["properties"]["unit_price"]["type"] == "number"
    assert schemas["Order"]["properties"]["total_amount"] == {"type": "number"}
    assert {"from", "to"} <= set(schemas["Passage"]["properties"])


async def walked(shop: Shop, query: str, token: str | None = None, *, meanwhile: Any = None) -> list[list[str]]:
    """The ids of every stretch of a walk; `meanwhile` happens between two of them."""
    stretches: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        found = await listed(shop, f"?{query}&cursor={cursor}", token)
        assert set(found) == {"data", "next_cursor"}
        stretches.append(ids(found))
        cursor = found["next_cursor"]
        if meanwhile and cursor is not None:
            await meanwhile()
    return stretches


@pytest.mark.parametrize("sort_by", ["created_at", "updated_at", "total_amount", "status"])
@pytest.mark.parametrize("sort_dir", ["asc", "desc"])
async def test_a_walk_shows_every_order_once_in_the_order_of_the_pages(shop: Shop, sort_by: str, sort_dir: str) -> None:
    line = placement()["items"][0]
    placed = [await shop.place(items=[line | {"unit_price": price}]) for price in (3, 1, 2, 2, 2, 0.1)]
    await shop.rows("UPDATE orders SET created_at = '2026-02-17T11:00:00.000001Z' WHERE total_amount = 4")
    await shop.advance(placed[0]["id"], "confirmed")
    query = f"sort_by={sort_by}&sort_dir={sort_dir}"
    whole = ids(await listed(shop, f"?{query}"))
    assert [len(each) for each in await walked(shop, f"{query}&limit=2")] == [2, 2, 2]
    for limit in (1, 2, 4, 6, 100):
        assert [each for stretch in await walked(shop, f"{query}&limit={limit}") for each in stretch] == whole


@pytest.mark.parametrize("sort_dir", ["asc", "desc"])
async def test_orders_placed_during_a_walk_neither_repeat_nor_hide_the_others(shop: Shop, sort_dir: str) -> None:
    placed = [(await shop.place())["id"] for _ in range(5)]
    stretches = await walked(shop, f"sort_dir={sort_dir}&limit=2", meanwhile=shop.place)
    found = [each for stretch in stretches for each in stretch]
    assert len(found) == len(set(found))
    assert [each for each in found if each in placed] == (placed if sort_dir == "asc" else placed[::-1])


async def test_a_walk_keeps_to_its_filter_and_to_its_caller(shop: Shop) -> None:
    mine = [(await shop.place())["id"] for _ in range(3)]
    await shop.place(shop.stranger)
    everybodys = await walked(shop, "scope=all&limit=3", shop.admin)
    assert [len(each) for each in everybodys] == [3, 1]
    assert await walked(shop, "limit=2") == [mine[:0:-1], mine[:1]]
    assert await walked(shop, "limit=2&status=shipped") == [[]]
    begun = await listed(shop, "?limit=1&cursor=")
    cursor = begun["next_cursor"]
    for other in ("sort_dir=asc", "sort_by=total_amount", "status=pending"):
        await shop.ask("GET", f"/orders?{other}&cursor={cursor}", shop.customer, expect=400)
    await shop.ask("GET", f"/orders?cursor={cursor}", shop.stranger, expect=400)
    assert (await listed(shop, f"?limit=2&cursor={cursor}"))["next_cursor"] is None, "another limit is the same list"


async def test_a_cursor_that_was_changed_or_made_up_is_a_400_that_names_it(shop: Shop) -> None:
    for _ in range(2):
        await shop.place()
    cursor = (await listed(shop, "?limit=1&cursor="))["next_cursor"]
    me = UUID(shop.auth.callers[shop.customer].id)
    way = bearing("", Filter(user_id=me), sort_by=SortBy.CREATED_AT, direction=Direction.DESC).way
    values = ("", "now", "2026-02-17", "1e9", "\0", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01")
    forged = [pages.cursor(way, pages.Position(value, uuid4())) for value in values]
    swapped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for bad in (swapped, cursor[1:], f"{cursor}=", "x", "%00", "%F0%9F%98%80", "-1", "A" * 2000, *forged):
        problem = await shop.ask("GET", f"/orders?cursor={bad}", shop.customer, expect=400)
        assert [error["field"] for error in problem["errors"]] == ["cursor"], bad
    problem = await shop.ask("GET", f"/orders?page=1&cursor={cursor}", shop.customer, expect=400)
    assert [error["field"] for error in problem["errors"]] == ["page"]
    await shop.ask("GET", "/orders?cursor=&cursor=", shop.customer, expect=400)


async def test_amounts_of_a_made_up_cursor_are_read_as_strictly(shop: Shop) -> None:
    me = UUID(shop.auth.callers[shop.customer].id)
    way = bearing("", Filter(user_id=me), sort_by=SortBy.TOTAL_AMOUNT, direction=Direction.DESC).way
    for value in ("NaN", "1e9", "-1", "1_0", "\u0661", "9" * 400, ""):
        bad = pages.cursor(way, pages.Position(value, uuid4()))
        await shop.ask("GET", f"/orders?sort_by=total_amount&cursor={bad}", shop.customer, expect=400)
