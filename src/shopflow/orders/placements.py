"""How a new order is stored, alone or under an idempotency key. Decides nothing; each statement is a transaction."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from shopflow.contracts.orders import Order
from shopflow.kit.encoding import encoded
from shopflow.kit.postgres import Connection
from shopflow.orders.announcement import Announcement
from shopflow.orders.history import START, Entry, sealed
from shopflow.orders.idempotency import ROUTE, Key

PLACED: Final = """
WITH placed AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount, currency, notes, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
), recorded AS (
    INSERT INTO order_history (order_id, to_status, actor_id, actor_role, trace_id, at, hash)
    VALUES ($1, 'pending', $9, $10, $11, $8, $12)
)
INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($13, $1, $14, $15, $16)
"""

# The same, on condition that the key is free; a key that another transaction is taking is waited for.
PLACED_ONCE: Final = """
WITH taken AS (
    INSERT INTO idempotency_keys AS kept (user_id, route, key, fingerprint, answer, expires_at)
    VALUES ($2, $17, $18, $19, $20, clock_timestamp() + interval '24 hours')
    ON CONFLICT (user_id, route, key) DO UPDATE
        SET fingerprint = EXCLUDED.fingerprint, answer = EXCLUDED.answer, expires_at = EXCLUDED.expires_at
        WHERE kept.expires_at <= clock_timestamp()
    RETURNING kept.user_id
), placed AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount, currency, notes, created_at, updated_at)
    SELECT $1, user_id, $3, $4, $5, $6, $7, $8, $8 FROM taken
), recorded AS (
    INSERT INTO order_history (order_id, to_status, actor_id, actor_role, trace_id, at, hash)
    SELECT $1, 'pending', $9, $10, $11, $8, $12 FROM taken
), announced AS (
    INSERT INTO outbox (event_id, subject_id, routing_key, body, headers)
    SELECT $13, $1, $14, $15, $16 FROM taken
)
SELECT true FROM taken
"""

KEPT: Final = """
SELECT fingerprint, answer FROM idempotency_keys
WHERE user_id = $1 AND route = $2 AND key = $3 AND expires_at > clock_timestamp()
"""

TRIM_KEYS: Final = """
DELETE FROM idempotency_keys
WHERE expires_at <= now() AND (user_id, route, key) IN (
    SELECT user_id, route, key FROM idempotency_keys WHERE expires_at <= now() LIMIT 5000
)
"""


class Kept(NamedTuple):
    """What is kept under an idempotency key: what was asked, and the body of the answer."""

    fingerprint: bytes
    answer: bytes


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
    await connection.execute(PLACED, *_placement(order, entry, announced, headers))


async def place_once(
    connection: Connection,
    order: Order,
    *,
    entry: Entry,
    announced: Announcement,
    headers: Mapping[str, str],
    key: Key,
    answer: bytes,
) -> bool:
    """As `place`, and keeps the answer under the caller's key, unless something is kept there already.

    Returns:
        False when the key is taken; then nothing has happened.

    Raises:
        LockTimedOut: somebody is just taking it, and has been for two seconds.
    """
    parameters = _placement(order, entry, announced, headers)
    done = await connection.fetchval(PLACED_ONCE, *parameters, ROUTE, key.text, key.fingerprint, answer)
    return done is not None


def _placement(order: Order, entry: Entry, announced: Announcement, headers: Mapping[str, str]) -> tuple[Any, ...]:
    return (
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
        sealed(START, announced.subject_id, entry),
        announced.event_id,
        announced.routing_key,
        announced.body,
        encoded(headers),
    )


async def kept(connection: Connection, user_id: UUID, key: Key) -> Kept | None:
    """What is kept under a user's key; None when nothing is (any more)."""
    row = await connection.fetchrow(KEPT, user_id, ROUTE, key.text)
    return None if row is None else Kept(row["fingerprint"], row["answer"])
