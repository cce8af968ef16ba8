"""One order: how it is read and advanced, and how rows become orders. Decides nothing; opens no transaction.

How it gets there is `placements`, how it is found among others `lists`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from shopflow.contracts.fields import plain, timestamp, timestamp_or_none
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.kit.encoding import encoded
from shopflow.kit.postgres import Connection, Row
from shopflow.orders.announcement import Announcement
from shopflow.orders.history import START, Entry, sealed

SCHEMA: Final = Path(__file__).parent / "schema"

_LINES: Final = msgspec.json.Decoder(list[Line])
_ADDRESS: Final = msgspec.json.Decoder(Address)

STANDING: Final = """
SELECT status, user_id, shipping_address, updated_at, hash
FROM orders LEFT JOIN order_history ON order_id = id AND to_status = status
WHERE id = $1
"""

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
    INSERT INTO order_history (order_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at, hash)
    SELECT id, $2::varchar, $3::varchar, $5, $6, $7, $8, $4, $9 FROM advanced
), announced AS (
    INSERT INTO outbox (event_id, subject_id, routing_key, body, headers)
    SELECT $10::uuid, id, $11, $12, $13 FROM advanced WHERE $10::uuid IS NOT NULL
)
SELECT true FROM advanced
"""

ORDER: Final = """
SELECT id, user_id, status, items, shipping_address, total_amount, currency, notes,
       confirmed_at, shipped_at, delivered_at, created_at, updated_at
FROM orders WHERE id = $1
"""

ORDERS: Final = ORDER.replace("id = $1", "id = ANY ($1::uuid[])")

HISTORY: Final = """
SELECT orders.user_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at
FROM orders LEFT JOIN order_history ON order_id = id
WHERE id = $1
"""


class Standing(NamedTuple):
    """What a transition has to know of its order; `hash` is that of the history's last entry."""

    status: Status
    user_id: UUID
    address: Address
    updated_at: datetime
    hash: bytes


async def standing(connection: Connection, order_id: UUID) -> Standing | None:
    """Where an order stands; None when there is no such order."""
    row = await connection.fetchrow(STANDING, order_id)
    if row is None:
        return None
    return Standing(
        status=Status(row["status"]),
        user_id=row["user_id"],
        address=_ADDRESS.decode(row["shipping_address"]),
        updated_at=row["updated_at"],
        hash=row["hash"] or START,  # an entry that is gone is found by the audit; the order goes on
    )


async def advance(
    connection: Connection,
    order_id: UUID,
    *,
    entry: Entry,
    previous: bytes,
    announced: Announcement | None,
    headers: Mapping[str, str],
) -> bool:
    """Compare and set: brings an order from `entry.source` to `entry.target`, with history and event, all or nothing.

    Args:
        connection: where the order is.
        order_id: the order.
        entry: the transition.
        previous: the hash of the entry of `entry.source`.
        announced: the event, if there is one.
        headers: the trace, which the event carries on.

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
        sealed(previous, order_id, entry),
        *event,
        encoded(headers),
    )
    return done is not None


async def order(connection: Connection, order_id: UUID) -> Order | None:
    """An order in full; None when there is no such order."""
    row = await connection.fetchrow(ORDER, order_id)
    return None if row is None else _order(row)


async def orders(connection: Connection, order_ids: Sequence[UUID]) -> dict[UUID, Order]:
    """Orders in full, by id; there is nothing under an id without an order."""
    rows = await connection.fetch(ORDERS, order_ids)
    return {row["id"]: _order(row) for row in rows}


async def history(connection: Connection, order_id: UUID) -> tuple[UUID, list[Entry]] | None:
    """Whose an order is, and its history in no particular order; None when there is no such order."""
    rows = await connection.fetch(HISTORY, order_id)
    if not rows:
        return None
    return rows[0]["user_id"], [_entry(row) for row in rows if row["to_status"] is not None]


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
