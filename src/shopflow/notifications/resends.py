"""The statements about notifications that an operator sends again (R79)."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from shopflow.kit.postgres import Connection
from shopflow.notifications.store import COLUMNS_OF_RECORDED, Recorded

# Text and recipient are the original's: what is sent is what was stored. The copy belongs to no event, so that nothing
# that an event leads to, a retry or a replay, ever touches it.
_RESEND: Final = """
WITH original AS (
    SELECT notifications.*, deliveries.text
    FROM notifications LEFT JOIN deliveries ON deliveries.notification_id = notifications.id
    WHERE notifications.id = $1 AND status <> 'queued'
), stored AS (
    INSERT INTO notifications (id, user_id, order_id, channel, type, recipient, subject, body)
    SELECT $2, user_id, order_id, channel, type, recipient, subject, body FROM original
    RETURNING id
), delivery AS (
    INSERT INTO deliveries (notification_id, text) SELECT $2, text FROM original
)
INSERT INTO resends (notification_id, original_id, actor, reason) SELECT stored.id, $1, $3, $4 FROM stored
RETURNING notification_id
"""

# That nothing is due at infinity is said for the index, which is partial.
_DUE: Final = """
UPDATE resends SET due_at = clock_timestamp() + make_interval(secs => $2)
WHERE notification_id IN (
    SELECT notification_id FROM resends WHERE due_at <= clock_timestamp() AND due_at < 'infinity'
    ORDER BY due_at LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING notification_id
"""

_AGAIN: Final = """
UPDATE resends SET due_at = clock_timestamp() + make_interval(secs => $2) WHERE notification_id = $1
"""

_SETTLED: Final = "UPDATE resends SET due_at = 'infinity' WHERE notification_id = $1"

_RECORDED: Final = f"""
SELECT {COLUMNS_OF_RECORDED}
FROM notifications JOIN deliveries ON deliveries.notification_id = notifications.id
WHERE id = $1
"""  # noqa: S608 - a constant


async def resend(connection: Connection, original_id: UUID, *, notification_id: UUID, by: str, reason: str) -> bool:
    """Records a copy of a notification that is to be sent; answers whether there is one that is not queued."""
    return await connection.fetchval(_RESEND, original_id, notification_id, by, reason) is not None


async def recorded(connection: Connection, notification_id: UUID) -> Recorded | None:
    """A notification as it is to be delivered; None when it is gone."""
    row = await connection.fetchrow(_RECORDED, notification_id)
    return None if row is None else msgspec.convert(dict(row), Recorded)


async def due(connection: Connection, *, limit: int, rest: float) -> Sequence[UUID]:
    """Those whose time has come; nobody else gets them for `rest` seconds."""
    return [row["notification_id"] for row in await connection.fetch(_DUE, limit, rest)]


async def again(connection: Connection, notification_id: UUID, *, after: float) -> None:
    """Has one tried again after so many seconds."""
    await connection.execute(_AGAIN, notification_id, after)


async def settled(connection: Connection, notification_id: UUID) -> None:
    """Leaves one alone from now on."""
    await connection.execute(_SETTLED, notification_id)
