"""Every statement of order-service, and how rows become orders. Decides nothing; opens no transaction."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from shopflow.contracts.fields import plain, timestamp, timestamp_or_none
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.kit.encoding import encoded
from shopflow.kit.pages import Position, offset
from shopflow.kit.postgres import Connection, Row
from shopflow.orders.announcement import Announcement
from shopflow.orders.bodies import OrderSummary
from shopflow.orders.history import Entry
from shopflow.orders.listing import Bearing, Direction, Filter, SortBy, end

SCHEMA: Final = Path(__file__).parent / "schema"

_LINES: Final = msgspec.json.Decoder(list[Line])
_ADDRESS: Final = msgspec.json.Decoder(Address)

PLACED: Final = """
WITH placed AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount, currency, notes, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
), recorded AS (
    INSERT INTO order_history (order_id, to_status, actor_id, actor_role, trace_id, at)
    VALUES ($1, 'pending', $9, $10, $11, $8)
)
INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($12, $1, $13, $14, $15)
"""

STANDING: Final = "SELECT status, user_id, shipping_address, updated_at FROM orders WHERE id = $1"

ADVANCED: Final = """
WITH advanced AS (
    UPDATE orders
    SET status = $3::varchar,
        confirmed_at = CASE WHEN $3::varchar = 'confirmed' THEN $4::timestamptz ELSE confirmed_at END,
        shipped_at = CASE WHEN $3::varchar = 'shipped' THEN $4::timestamptz ELSE shipped_at END,
        delivered_at = CASE WHEN $3::varchar = 'delivered' THEN $4::timestamptz ELSE delivered_at END,
        updated_at = $4
    WHERE id = $1 AND status = $2::varchar
    RETURNING id
), recorded AS (
    INSERT INTO order_history (order_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at)
    SELECT id, $2::varchar, $3::varchar, $5, $6, $7, $8, $4 FROM advanced
), announced AS (
    INSERT INTO outbox (event_id, subject_id, routing_key, body, headers)
    SELECT $9::uuid, id, $10, $11, $12 FROM advanced WHERE $9::uuid IS NOT NULL
)
SELECT true FROM advanced
"""

ORDER: Final = """
SELECT id, user_id, status, items, shipping_address, total_amount, currency, notes,
       confirmed_at, shipped_at, delivered_at, created_at, updated_at
FROM orders WHERE id = $1
"""

HISTORY: Final = """
SELECT orders.user_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at
FROM orders LEFT JOIN order_history ON order_id = id
WHERE id = $1
"""


class Standing(NamedTuple):
    """What a transition has to know of its order."""

    status: Status
    user_id: UUID
    address: Address
    updated_at: datetime


_CONDITIONS: Final = {
    "user_id": "user_id = {}",
    "status": "status = {}",
    "id_first": "id >= {}",
    "id_last": "id <= {}",
    "created_from": "created_at >= {}",
    "created_before": "created_at < {}",
}


async def place(
    connection: Connection,
    order: Order,
    *,
    entry: Entry,
    announced: Announcement,
    headers: Mapping[str, str],
) -> None:
    """Stores a new order, the first entry of its history and its event, all or nothing, in one round trip.

    Args:
        connection: where to store it.
        order: the order.
        entry: its instant is the order's `created_at`, in full precision.
        announced: the event.
        headers: the trace, which the event carries on.
    """
    await connection.execute(
        PLACED,
        announced.subject_id,
        UUID(order.user_id),
        encoded(order.items),
        encoded(order.shipping_address),
        order.total_amount,
        order.currency,
        order.notes,
        entry.at,
        entry.actor_id,
        entry.actor_role,
        entry.trace_id,
        announced.event_id,
        announced.routing_key,
        announced.body,
        encoded(headers),
    )


async def standing(connection: Connection, order_id: UUID) -> Standing | None:
    """Where an order stands; None when there is no such order."""
    row = await connection.fetchrow(STANDING, order_id)
    if row is None:
        return None
    return Standing(Status(row["status"]), row["user_id"], _ADDRESS.decode(row["shipping_address"]), row["updated_at"])


async def advance(
    connection: Connection,
    order_id: UUID,
    *,
    entry: Entry,
    announced: Announcement | None,
    headers: Mapping[str, str],
) -> bool:
    """Compare and set: brings an order from `entry.source` to `entry.target`, with history and event, all or nothing.

    Returns:
        False when the order is not in `entry.source` (any more); then nothing has happened.
    """
    event = (announced.event_id, announced.routing_key, announced.body) if announced else (None, None, None)
    done = await connection.fetchval(
        ADVANCED,
        order_id,
        entry.source,
        entry.target,
        entry.at,
        entry.actor_id,
        entry.actor_role,
        entry.reason,
        entry.trace_id,
        *event,
        encoded(headers),
    )
    return done is not None


async def order(connection: Connection, order_id: UUID) -> Order | None:
    """An order in full; None when there is no such order."""
    row = await connection.fetchrow(ORDER, order_id)
    return None if row is None else _order(row)


async def history(connection: Connection, order_id: UUID) -> tuple[UUID, list[Entry]] | None:
    """Whose an order is, and its history in no particular order; None when there is no such order."""
    rows = await connection.fetch(HISTORY, order_id)
    if not rows:
        return None
    return rows[0]["user_id"], [_entry(row) for row in rows if row["to_status"] is not None]


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


def _order(row: Row) -> Order:
    return Order(
        id=str(row["id"]),
        user_id=str(row["user_id"]),
        status=Status(row["status"]),
        items=_LINES.decode(row["items"]),
        shipping_address=_ADDRESS.decode(row["shipping_address"]),
        total_amount=plain(row["total_amount"]),
        currency=row["currency"],
        notes=row["notes"],
        confirmed_at=timestamp_or_none(row["confirmed_at"]),
        shipped_at=timestamp_or_none(row["shipped_at"]),
        delivered_at=timestamp_or_none(row["delivered_at"]),
        created_at=timestamp(row["created_at"]),
        updated_at=timestamp(row["updated_at"]),
    )


def _summary(row: Row) -> OrderSummary:
    return OrderSummary(
        id=str(row["id"]),
        status=Status(row["status"]),
        total_amount=plain(row["total_amount"]),
        currency=row["currency"],
        created_at=timestamp(row["created_at"]),
    )


def _entry(row: Row) -> Entry:
    source: Any = row["from_status"]
    return Entry(
        source=Status(source) if source else None,
        target=Status(row["to_status"]),
        actor_id=row["actor_id"],
        actor_role=row["actor_role"],
        reason=row["reason"],
        trace_id=row["trace_id"],
        at=row["at"],
    )
