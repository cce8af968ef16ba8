"""The statements about events that are not finished: what of them is kept, which copy of a message counts, and which
events nobody works on. A number is given to every copy beside the one from the exchange; the newest one counts.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from shopflow.kit.postgres import Connection
from shopflow.notifications.original import Original

MOST_DOUBLED: Final = 6
"""How often the time doubles after which a copy that was never seen is followed by another one."""

# A number beyond those that were given out was not given by us: it counts as the newest there is.
_GOES_ON: Final = """
INSERT INTO unfinished (event_id, message_id, headers, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (event_id) DO UPDATE
SET copy = least($5::integer, unfinished.copies), touched_at = clock_timestamp()
WHERE unfinished.copy <= $5
RETURNING event_id
"""

# A delivery that is final is free at infinity; one that is claimed, rests or waits for a retry, is free later. What is
# parked is an operator's to decide, and what an operator discarded is decided.
_NOT_DONE: Final = """
(SELECT max(free_at) FROM deliveries WHERE deliveries.event_id = unfinished.event_id AND free_at < 'infinity')
"""

_NOT_PARKED: Final = """
NOT EXISTS (
    SELECT FROM dead_letters
    WHERE order_id = inbox.order_id AND event_id = inbox.event_id AND digest = inbox.digest AND state <> 'replayed'
)
"""

# In no order, so that it ends with the first of many: after a purge all of them are idle.
_SWEEP: Final = f"""
WITH idle AS MATERIALIZED (
    SELECT event_id, event_type FROM unfinished JOIN inbox USING (event_id)
    WHERE touched_at < clock_timestamp() - make_interval(secs => $2 * power(2, least(copies - copy, {MOST_DOUBLED})))
      AND {_NOT_DONE} < clock_timestamp() - make_interval(secs => $2)
      AND {_NOT_PARKED}
    LIMIT $1
    FOR UPDATE OF unfinished SKIP LOCKED
)
UPDATE unfinished SET copies = copies + 1, touched_at = clock_timestamp()
FROM idle WHERE unfinished.event_id = idle.event_id
RETURNING unfinished.event_id, idle.event_type, message_id, headers, body, copies AS copy
"""  # noqa: S608 - constants of this file

_OLDEST: Final = f"""
SELECT extract(epoch FROM clock_timestamp() - since)::float8
FROM unfinished JOIN inbox USING (event_id)
WHERE {_NOT_DONE} IS NOT NULL AND {_NOT_PARKED}
ORDER BY since LIMIT 1
"""  # noqa: S608 - constants of this file

FORGET: Final = f"""
DELETE FROM unfinished WHERE event_id IN (
    SELECT event_id FROM unfinished
    WHERE touched_at < clock_timestamp() - interval '1 minute' AND {_NOT_DONE} IS NULL
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608 - constants of this file
"""Forgets events whose notifications are all final, a batch of them. A minute's rest, so that a replay which opens
some again in this very moment finds its event here or puts it back."""


class Idle(msgspec.Struct, frozen=True):
    """An event that nobody works on, on its way back as the copy of this number."""

    event_id: UUID
    event_type: str
    message_id: str
    headers: bytes
    body: bytes
    copy: int


async def goes_on(connection: Connection, event_id: UUID, original: Original) -> bool:
    """Notes that a copy of an event was here and is not done; answers whether it is to go on.

    It is not when a newer one has been here: then this one is left over, and would go round beside it for ever.
    """
    row = await connection.fetchrow(
        _GOES_ON, event_id, original.message_id, original.headers, original.body, original.copy
    )
    return row is not None


async def sweep(connection: Connection, *, limit: int, after: float) -> Sequence[Idle]:
    """Events that nobody touched for `after` seconds; nobody else gets them now.

    One whose last copy was never seen is left alone for twice as long, then for four times, at most for 64 times.
    """
    return [Idle(**row) for row in await connection.fetch(_SWEEP, limit, after)]


async def oldest(connection: Connection) -> float:
    """Seconds since the oldest unfinished event was recorded, or replayed; 0 when there is none."""
    return float(await connection.fetchval(_OLDEST) or 0.0)
