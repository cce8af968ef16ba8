"""The stored evidence of orders' lives, a batch at a time, in the order of their ids. Reads only."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, cast
from uuid import UUID

from shopflow.contracts.orders import Status
from shopflow.kit.postgres import Connection, Row
from shopflow.orders.audit import Evidence, Link, Standing
from shopflow.orders.history import Entry

CHAINED: Final = """
SELECT EXISTS (
    SELECT FROM information_schema.columns WHERE table_name = 'order_history' AND column_name = 'hash'
)
"""

# One statement, so that an order and its history are of the same moment. An order that is gone has left its history.
BATCH: Final = """
WITH ids AS (
    (SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT $2)
    UNION
    (SELECT DISTINCT order_id FROM order_history WHERE order_id > $1 ORDER BY order_id LIMIT $2)
    ORDER BY id LIMIT $2
)
SELECT ids.id, orders.id IS NOT NULL AS present,
       status, created_at, confirmed_at, shipped_at, delivered_at, updated_at,
       order_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at, hash
FROM ids LEFT JOIN orders USING (id) LEFT JOIN order_history ON order_id = ids.id
ORDER BY ids.id
"""


async def is_chained(connection: Connection) -> bool:
    """Whether this is order-service's database, with a schema that has hashes."""
    return bool(await connection.fetchval(CHAINED))


async def batch(connection: Connection, *, after: UUID, limit: int) -> Sequence[Evidence]:
    """The evidence of the next orders behind an id; empty at the end."""
    rows = await connection.fetch(BATCH, after, limit)
    return [
        _evidence(order_id, list(group)) for order_id, group in groupby(rows, key=lambda row: cast("UUID", row["id"]))
    ]


def _evidence(order_id: UUID, rows: Sequence[Row]) -> Evidence:
    first = rows[0]
    return Evidence(
        order_id=order_id,
        standing=_standing(first) if first["present"] else None,
        links=[_link(row) for row in rows if row["order_id"] is not None],
    )


def _standing(row: Row) -> Standing:
    return Standing(**{name: row[name] for name in Standing.__dataclass_fields__})


def _link(row: Row) -> Link:
    entry = Entry(
        source=cast("Status | None", row["from_status"]),
        target=cast("Status", row["to_status"]),
        actor_id=row["actor_id"],
        actor_role=row["actor_role"],
        reason=row["reason"],
        trace_id=row["trace_id"],
        at=row["at"],
    )
    return Link(entry=entry, hash=row["hash"])
