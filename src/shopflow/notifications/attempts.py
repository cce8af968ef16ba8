"""The statements about the attempts to deliver a notification, oldest first. Reads only."""

from typing import Final
from uuid import UUID

from shopflow.contracts.fields import instant, timestamp, timestamp_or_none
from shopflow.kit.pages import Position, bounds
from shopflow.kit.postgres import Connection, Row
from shopflow.notifications.attempt import UNFINISHED, trouble
from shopflow.notifications.bodies import AttemptForAdmins

_SHOWN: Final = """
SELECT id, started_at, ended_at, outcome, attempts.code, provider_ref, reason, receipts.state AS receipt
FROM attempts LEFT JOIN receipts USING (notification_id, provider_ref)
WHERE notification_id = $1
"""

_PAGE: Final = f"""
{_SHOWN} ORDER BY started_at, id LIMIT $2 OFFSET $3
"""

_NUMBER: Final = "SELECT count(*) FROM attempts WHERE notification_id = $1"

_BEGINNING: Final = f"""
{_SHOWN} ORDER BY started_at, id LIMIT $2
"""

_BEHIND: Final = f"""
{_SHOWN} AND (started_at, id) > ($3, $4)
ORDER BY started_at, id LIMIT $2
"""


async def page(
    connection: Connection, notification_id: UUID, *, limit: int, offset: int
) -> tuple[list[AttemptForAdmins], int]:
    """One page of a notification's attempts, and how many there are in all."""
    rows = await connection.fetch(_PAGE, notification_id, limit, offset)
    return [_attempt(row) for row in rows], await connection.fetchval(_NUMBER, notification_id)


async def stretch(
    connection: Connection, notification_id: UUID, *, behind: Position | None, limit: int
) -> tuple[list[AttemptForAdmins], Position | None]:
    """The attempts behind a position, and the position of the last one when there are more.

    Raises:
        Problem: of kind invalid, when the position is none.
    """
    begin = bounds(behind, instant)
    rows = await connection.fetch(_BEHIND if begin else _BEGINNING, notification_id, limit + 1, *begin)
    shown = rows[:limit]
    last = Position(shown[-1]["started_at"].isoformat(), shown[-1]["id"]) if len(rows) > limit else None
    return [_attempt(row) for row in shown], last


def _attempt(row: Row) -> AttemptForAdmins:
    return AttemptForAdmins(
        id=str(row["id"]),
        at=timestamp(row["started_at"]),
        outcome=row["outcome"] or UNFINISHED,
        receipt=row["receipt"],
        class_=trouble(row["outcome"], row["reason"]),
        ended_at=timestamp_or_none(row["ended_at"]),
        code=row["code"],
        provider_ref=row["provider_ref"],
        reason=row["reason"],
    )
