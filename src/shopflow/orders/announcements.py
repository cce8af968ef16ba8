"""Which events orders owe to the world, where those stand in the outbox, and how one is put into it again.

Decides nothing: who is told what became of an event is notification-service's to know. Ages are judged by the
database's clock.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from shopflow.contracts.events import EventType
from shopflow.contracts.topology import ROUTING_KEYS
from shopflow.kit.postgres import Connection, Row
from shopflow.orders.announcement import Announcement, event_id

_STAMPS: Final = {EventType.ORDER_CREATED: "created_at", EventType.ORDER_SHIPPED: "shipped_at"}

BATCH: Final = """
SELECT id, created_at, shipped_at, clock_timestamp() - make_interval(secs => $3) AS settled
FROM orders WHERE id > $1 ORDER BY id LIMIT $2
"""

ONE: Final = """
SELECT id, created_at, shipped_at, clock_timestamp() - make_interval(secs => $2) AS settled FROM orders WHERE id = $1
"""

# By the id that an event has; and what waits under another id, as events did that older versions wrote.
STANDINGS: Final = """
WITH found AS (
    SELECT event_id, subject_id, routing_key, created_at, published_at FROM outbox WHERE event_id = ANY ($1::uuid[])
    UNION
    SELECT event_id, subject_id, routing_key, created_at, published_at FROM outbox
    WHERE subject_id = ANY ($2::uuid[]) AND published_at IS NULL
)
SELECT subject_id, routing_key, event_id, published_at IS NULL AS waiting,
       greatest(created_at, published_at) > clock_timestamp() - make_interval(secs => $3) AS recent
FROM found ORDER BY waiting
"""

# What waits is left to the relay, and what went out a moment ago may be on its way: neither is touched, so that of two
# who do this at once one has done it. The age starts anew, since it tells how long the relay takes.
ANNOUNCED: Final = """
WITH announced AS (
    INSERT INTO outbox AS kept (event_id, subject_id, routing_key, body, headers)
    SELECT event_id, subject_id, routing_key, body, '{}'
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) WITH ORDINALITY
        AS lost (event_id, subject_id, routing_key, body, place)
    ORDER BY place
    ON CONFLICT (event_id) DO UPDATE
        SET published_at = NULL, created_at = clock_timestamp(), claimed_by = NULL, claimed_until = NULL, attempts = 0
        WHERE kept.published_at <= clock_timestamp() - make_interval(secs => $8)
    RETURNING event_id, subject_id
)
INSERT INTO repairs (order_id, event_id, event_type, cause, actor)
SELECT subject_id, announced.event_id, event_type, cause, $7
FROM announced
JOIN unnest($1::uuid[], $5::text[], $6::text[]) AS told (event_id, event_type, cause) USING (event_id)
RETURNING event_id
"""


class Owed(NamedTuple):
    """An event that an order's state calls for, and since when."""

    order_id: UUID
    event_type: EventType
    event_id: UUID
    since: datetime


class Lost(NamedTuple):
    """An event that its customer has not heard of: the id under which it is known, and what was found to be wrong."""

    order_id: UUID
    event_type: EventType
    event_id: UUID
    cause: str


class Standing(NamedTuple):
    """An event in the outbox: `waiting` to be published, or published; `recent` when either began a moment ago."""

    event_id: UUID
    waiting: bool
    recent: bool


async def are_here(connection: Connection) -> bool:
    """Whether this is order-service's database, with a schema that can note what is repaired."""
    return bool(await connection.fetchval("SELECT to_regclass('repairs') IS NOT NULL"))


async def batch(
    connection: Connection, *, after: UUID, limit: int, since: datetime | None, older_than: float
) -> tuple[list[Owed], int, UUID | None]:
    """What the next orders behind an id owe, how many they are, and the id of the last; None when there are no more.

    Args:
        connection: the database.
        after: orders go by id.
        limit: how many orders.
        since: only events that are owed from this instant on.
        older_than: seconds; what is owed for less is left out.
    """
    rows = await connection.fetch(BATCH, after, limit, older_than)
    return _owed(rows, since), len(rows), rows[-1]["id"] if rows else None


async def of_order(
    connection: Connection, order_id: UUID, *, since: datetime | None, older_than: float
) -> list[Owed] | None:
    """What one order owes, as `batch` says it; None when there is no such order."""
    rows = await connection.fetch(ONE, order_id, older_than)
    return _owed(rows, since) if rows else None


async def standings(
    connection: Connection, events: Sequence[tuple[UUID, UUID]], *, older_than: float
) -> dict[tuple[UUID, str], Standing]:
    """Where events stand in the outbox, by order and routing key; those that are not in it are left out.

    Args:
        connection: the database.
        events: ids of events with their orders'.
        older_than: seconds from which on an event is not recent any more.
    """
    rows = await connection.fetch(STANDINGS, [each for each, _ in events], [each for _, each in events], older_than)
    return {  # of two under one key the one that waits says more, and it comes last
        (row["subject_id"], row["routing_key"]): Standing(row["event_id"], row["waiting"], row["recent"])
        for row in rows
    }


async def announce(
    connection: Connection, lost: Sequence[tuple[Lost, Announcement]], *, by: str, older_than: float
) -> set[UUID]:
    """Puts events into the outbox again, or for the first time, and notes it, all or none.

    Args:
        connection: the database.
        lost: the events, first to last, each with what is sent of it.
        by: who does it.
        older_than: seconds; an event that was published less ago stays as it is, as does one that waits.

    Returns:
        The ids of those for which that was called for.
    """
    columns = (
        [each.event_id for each, _ in lost],
        [each.order_id for each, _ in lost],
        [announced.routing_key for _, announced in lost],
        [announced.body for _, announced in lost],
        [each.event_type for each, _ in lost],
        [each.cause for each, _ in lost],
    )
    return {row["event_id"] for row in await connection.fetch(ANNOUNCED, *columns, by, older_than)}


def place(owed: Owed) -> tuple[UUID, str]:
    """Under which `standings` knows an event."""
    return owed.order_id, ROUTING_KEYS[owed.event_type]


def _owed(rows: Sequence[Row], since: datetime | None) -> list[Owed]:
    return [owed for row in rows for owed in _of_row(row) if since is None or owed.since >= since]


def _of_row(row: Row) -> Iterator[Owed]:
    for event_type, stamp in _STAMPS.items():
        at: Any = row[stamp]
        if at is not None and at <= row["settled"]:
            yield Owed(row["id"], event_type, event_id(row["id"], event_type), at)
