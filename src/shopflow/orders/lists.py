"""The lists of orders, in pages and in stretches: their statements, and how rows become summaries. Decides nothing."""

from functools import cache
from typing import Final

from shopflow.contracts.fields import plain, timestamp
from shopflow.contracts.orders import Status
from shopflow.kit.pages import Position, offset
from shopflow.kit.postgres import Connection, Row
from shopflow.orders.bodies import OrderSummary
from shopflow.orders.listing import Bearing, Direction, Filter, SortBy, end

_CONDITIONS: Final = {
    "user_id": "user_id = {}",
    "status": "status = {}",
    "id_first": "id >= {}",
    "id_last": "id <= {}",
    "created_from": "created_at >= {}",
    "created_before": "created_at < {}",
}


async def page(
    connection: Connection, narrowed: Filter, *, sort_by: SortBy, direction: Direction, number: int, limit: int
) -> tuple[int, list[OrderSummary]]:
    """One page of a list and how many orders the whole list has, both from one snapshot and one round trip (B12)."""
    given = {name: value for name in _CONDITIONS if (value := getattr(narrowed, name)) is not None}
    rows = await connection.fetch(
        _page_statement(tuple(given), sort_by, direction), limit, offset(number, limit), *given.values()
    )
    return rows[0]["total"], [_summary(row) for row in rows if row["id"] is not None]


async def stretch(
    connection: Connection, narrowed: Filter, bearing: Bearing, *, sort_by: SortBy, direction: Direction, limit: int
) -> tuple[list[OrderSummary], Position | None]:
    """The rows that follow in a walk along a list, and the position of the last one when there are more."""
    given = {name: value for name in _CONDITIONS if (value := getattr(narrowed, name)) is not None}
    begun = bearing.id is not None
    statement = _stretch_statement(tuple(given), sort_by, direction, begun=begun)
    behind = (bearing.value, bearing.id) if begun else ()
    rows = await connection.fetch(statement, limit + 1, *given.values(), *behind)
    shown = rows[:limit]
    last = end(shown[-1][sort_by], shown[-1]["id"]) if len(rows) > limit else None
    return [_summary(row) for row in shown], last


@cache
def _stretch_statement(filters: tuple[str, ...], sort_by: SortBy, direction: Direction, *, begun: bool) -> str:
    """As `_page_statement`, without a count: the row behind which it begins is compared as a pair, as indexes do."""
    conditions = [_CONDITIONS[name].format(f"${place}") for place, name in enumerate(filters, start=2)]
    if begun:
        value = len(filters) + 2
        sign = ">" if direction is Direction.ASC else "<"
        conditions.append(f"({sort_by}, id) {sign} (${value}, ${value + 1})")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"""
SELECT id, status, total_amount, currency, created_at, updated_at
FROM orders {where} ORDER BY {sort_by} {direction}, id {direction} LIMIT $1
"""  # noqa: S608 - built from the constants of this file


@cache
def _page_statement(filters: tuple[str, ...], sort_by: SortBy, direction: Direction) -> str:
    """The statement of one kind of list, made once. Only the names above become part of it; values are bound."""
    conditions = " AND ".join(_CONDITIONS[name].format(f"${place}") for place, name in enumerate(filters, start=3))
    where = f"WHERE {conditions}" if conditions else ""
    order_by = f"ORDER BY {sort_by} {direction}, id {direction}"
    return f"""
WITH page AS (
    SELECT id, status, total_amount, currency, created_at, updated_at
    FROM orders {where} {order_by} LIMIT $1 OFFSET $2
), counted AS (
    SELECT count(*) AS total FROM orders {where}
)
SELECT counted.total, page.* FROM counted LEFT JOIN page ON true {order_by}
"""  # noqa: S608 - built from the constants of this file


def _summary(row: Row) -> OrderSummary:
    return OrderSummary(
        id=str(row["id"]),
        status=Status(row["status"]),
        total_amount=plain(row["total_amount"]),
        currency=row["currency"],
        created_at=timestamp(row["created_at"]),
    )
