"""PATCH /orders/:id/status and the history it leaves: every row of the table, races, and what the database refuses."""

import asyncio
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.service.orders.shop import Shop

from shopflow.contracts.orders import Status
from shopflow.kit import pages
from shopflow.orders.order import stamps_hold

LIFE = list(Status)
STAMPS = {"confirmed": "confirmed_at", "shipped": "shipped_at", "delivered": "delivered_at"}


async def status_of(shop: Shop, order_id: str, target: str) -> int:
    """The HTTP status of one transition among others."""
    path = f"{shop.url}/orders/{order_id}/status"
    headers = {"Authorization": f"Bearer {shop.admin}"}
    async with shop.http.patch(path, json={"status": target}, headers=headers) as response:
        await response.read()
        return response.status


async def in_state(shop: Shop, status: Status) -> Any:
    """A new order, brought to a state through the front door."""
    order = await shop.place()
    for each in LIFE[1 : LIFE.index(status) + 1]:
        await shop.advance(order["id"], each)
    return order


@pytest.mark.row("O-3")
@pytest.mark.parametrize(("current", "target"), list(product(LIFE, LIFE)))
async def test_every_pair_of_states_is_answered_as_the_table_says(shop: Shop, current: Status, target: Status) -> None:
    order = await in_state(shop, current)
    before = await shop.rows("SELECT * FROM orders")
    expected = 409 if current is target else 200 if LIFE.index(target) == LIFE.index(current) + 1 else 400
    answer = await shop.advance(order["id"], target, expect=expected)
    after = await shop.rows("SELECT * FROM orders")
    if expected == 200:
        stamp = STAMPS[target]
        assert list(answer) == ["id", "status", stamp, "updated_at"]
        assert (answer["id"], answer["status"], answer[stamp]) == (order["id"], target, answer["updated_at"])
        assert after[0]["status"] == target
        assert after[0][stamp] == after[0]["updated_at"] > before[0]["updated_at"]
    else:
        code = "already-in-state" if expected == 409 else "invalid-transition"
        assert answer["type"] == f"urn:shopflow:problem:{code}"
        assert after == before


async def test_a_life_is_told_in_the_order_read_in_its_history_and_in_two_events(shop: Shop) -> None:
    order = await shop.place()
    for status in LIFE[1:]:
        await shop.advance(order["id"], status, reason=f"because {status}")
    read = await shop.ask("GET", f"/orders/{order['id']}", shop.service, expect=200)
    assert read["status"] == "delivered"
    assert order["created_at"] <= read["confirmed_at"] <= read["shipped_at"] <= read["delivered_at"]
    events = await shop.rows("SELECT routing_key, body, subject_id FROM outbox ORDER BY position")
    assert [event["routing_key"] for event in events] == ["order.created", "order.shipped"]
    shipped = json.loads(events[1]["body"])
    assert shipped["timestamp"] == shipped["payload"]["shipped_at"] == read["shipped_at"]
    assert shipped["payload"]["user_id"] == order["user_id"]
    assert str(events[1]["subject_id"]) == order["id"]
    history = await shop.ask("GET", f"/orders/{order['id']}/history", shop.admin, expect=200)
    admin = shop.auth.callers[shop.admin].id
    assert [(each["from"], each["to"], each["at"]) for each in history["data"]] == [
        (None, "pending", order["created_at"]),
        ("pending", "confirmed", read["confirmed_at"]),
        ("confirmed", "shipped", read["shipped_at"]),
        ("shipped", "delivered", read["delivered_at"]),
    ]
    assert [each["actor_id"] for each in history["data"]] == [order["user_id"], admin, admin, admin]
    assert [each["reason"] for each in history["data"]][1:] == [f"because {status}" for status in LIFE[1:]]
    assert all(len(each["trace_id"]) == 32 for each in history["data"])
    assert history["pagination"] == {"page": 1, "limit": 20, "total_items": 4, "total_pages": 1}


async def test_an_owner_sees_states_roles_and_times_of_the_history_and_nobody_else_any(shop: Shop) -> None:
    order = await in_state(shop, Status.CONFIRMED)
    path = f"/orders/{order['id']}/history"
    history = await shop.ask("GET", path, shop.customer, expect=200)
    assert [list(each) for each in history["data"]] == [["from", "to", "role", "at"]] * 2
    await shop.ask("GET", path, shop.service, expect=403)
    await shop.ask("GET", path, shop.stranger, expect=403)
    await shop.ask("GET", path, None, expect=401)
    await shop.ask("GET", f"/orders/{uuid4()}/history", shop.customer, expect=404)
    await shop.ask("GET", "/orders/nonsense/history", shop.customer, expect=400)
    walk = await shop.ask("GET", f"{path}?cursor=&limit=1", shop.customer, expect=200)
    rest = await shop.ask("GET", f"{path}?cursor={walk['next_cursor']}&limit=1", shop.customer, expect=200)
    assert ([each["to"] for each in walk["data"] + rest["data"]], rest["next_cursor"]) == (
        ["pending", "confirmed"],
        None,
    )
    made_up = pages.cursor(f"history {order['id']}", pages.Position("-1", uuid4()))
    for bad in (made_up, walk["next_cursor"][1:], f"{walk['next_cursor']}&page=1"):
        await shop.ask("GET", f"{path}?cursor={bad}", shop.customer, expect=400)
    second = await shop.ask("GET", f"{path}?page=2&limit=1", shop.customer, expect=200)
    assert [each["to"] for each in second["data"]] == ["confirmed"]
    assert second["pagination"]["total_pages"] == 2


@pytest.mark.row("O-4")
async def test_of_twenty_admins_at_once_one_wins_and_one_event_is_written(shop: Shop) -> None:
    order = await in_state(shop, Status.CONFIRMED)
    statuses = sorted(await asyncio.gather(*(status_of(shop, order["id"], "shipped") for _ in range(20))))
    assert statuses == [200] + [409] * 19
    assert len(await shop.rows("SELECT FROM outbox WHERE routing_key = 'order.shipped'")) == 1
    assert len(await shop.rows("SELECT FROM order_history WHERE to_status = 'shipped'")) == 1


@pytest.mark.row("O-4")
async def test_two_different_transitions_that_race_leave_one_consistent_life(shop: Shop) -> None:
    order = await in_state(shop, Status.CONFIRMED)
    targets = ("shipped", "delivered") * 5
    statuses = await asyncio.gather(*(status_of(shop, order["id"], target) for target in targets))
    assert statuses[0::2].count(200) == 1
    assert statuses[1::2].count(200) <= 1
    assert set(statuses) <= {200, 400, 409}
    history = await shop.ask("GET", f"/orders/{order['id']}/history", shop.customer, expect=200)
    assert len(history["data"]) == 3 + statuses[1::2].count(200)


@pytest.mark.row("O-5", "O-19")
async def test_nobody_but_admins_advances_an_order_not_even_its_owner(shop: Shop) -> None:
    order = await shop.place()
    path = f"/orders/{order['id']}/status"
    for token in (shop.customer, shop.stranger, shop.service):
        for target in LIFE:
            problem = await shop.ask("PATCH", path, token, expect=403, json={"status": target})
            assert problem["type"] == "urn:shopflow:problem:forbidden"
    assert [row["status"] for row in await shop.rows("SELECT status FROM orders")] == ["pending"]


async def test_role_comes_before_id_and_body_and_these_before_the_order(shop: Shop) -> None:
    order = await shop.place()
    path = f"/orders/{order['id']}/status"
    await shop.ask("PATCH", path, None, expect=401, data=b"{")
    for token in (shop.customer, shop.service):
        await shop.ask("PATCH", "/orders/nonsense/status", token, expect=403, data=b"{")
    await shop.ask("PATCH", "/orders/nonsense/status", shop.admin, expect=400, json={"status": "confirmed"})
    unknown = f"/orders/{uuid4()}/status"
    await shop.ask("PATCH", unknown, shop.admin, expect=400, json={"status": "cancelled"})
    problem = await shop.ask("PATCH", unknown, shop.admin, expect=404, json={"status": "confirmed"})
    assert problem["type"] == "urn:shopflow:problem:order-not-found"


@pytest.mark.row("O-3")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": None},
        {"status": 1},
        {"status": ""},
        {"status": "Confirmed"},
        {"status": "cancelled"},
        {"status": ["confirmed"]},
        {"status": "confirmed", "reason": "x" * 501},
        {"status": "confirmed", "reason": 1},
        {"status": True},
        {"status": {"status": "confirmed"}},
        {"status": "pending "},
        "confirmed",
        [],
        None,
    ],
)
async def test_a_bad_body_is_a_400_and_the_order_stays_as_it_is(shop: Shop, body: Any) -> None:
    order = await shop.place()
    await shop.ask("PATCH", f"/orders/{order['id']}/status", shop.admin, expect=400, json=body)
    assert [row["status"] for row in await shop.rows("SELECT status FROM orders")] == ["pending"]


async def test_a_clock_that_went_back_does_not_take_an_orders_timestamps_back(shop: Shop) -> None:
    order = await shop.place()
    await shop.rows("UPDATE orders SET updated_at = updated_at + interval '1 hour'")
    [before] = await shop.rows("SELECT updated_at FROM orders")
    await shop.advance(order["id"], "confirmed")
    [after] = await shop.rows("SELECT confirmed_at, updated_at FROM orders")
    assert after["confirmed_at"] == after["updated_at"] == before["updated_at"]


async def test_the_table_accepts_exactly_the_timestamps_that_the_state_machine_demands(shop: Shop) -> None:
    insert = (
        "INSERT INTO orders (user_id, items, shipping_address, total_amount, status, confirmed_at, shipped_at,"
        " delivered_at) VALUES (gen_random_uuid(), '[]', '{}', 1, $1, $2, $3, $4)"
    )
    now = datetime.now(UTC)
    for status, stamps in product(LIFE, product([None, now], repeat=3)):
        confirmed_at, shipped_at, delivered_at = stamps
        holds = stamps_hold(status, confirmed_at=confirmed_at, shipped_at=shipped_at, delivered_at=delivered_at)
        with nullcontext() if holds else pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(insert, status, *stamps)
    assert len(await shop.rows("SELECT FROM orders")) == len(LIFE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET status = 'shipped'",
        "UPDATE orders SET confirmed_at = now()",
        "UPDATE orders SET status = 'confirmed'",
        "UPDATE orders SET status = 'cancelled'",
        "UPDATE orders SET status = 'delivered', delivered_at = now()",
        "UPDATE order_history SET reason = 'another'",
        "DELETE FROM order_history",
        "TRUNCATE order_history",
        "INSERT INTO order_history SELECT order_id, 'pending', 'shipped', '', '', '', '', at, hash FROM order_history",
        "INSERT INTO order_history SELECT * FROM order_history",
    ],
)
async def test_the_database_itself_refuses_what_the_state_machine_forbids(shop: Shop, statement: str) -> None:
    await shop.place()
    with pytest.raises(
        (asyncpg.CheckViolationError, asyncpg.exceptions.RestrictViolationError, asyncpg.UniqueViolationError)
    ):
        await shop.rows(statement)
