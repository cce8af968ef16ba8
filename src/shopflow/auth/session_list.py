"""The SQL of the list of a user's sessions: those that go on, newest first, in pages and in stretches."""

from typing import Final
from uuid import UUID

from shopflow.auth.bodies import SessionView
from shopflow.contracts.fields import instant, timestamp
from shopflow.kit.pages import Position, bounds
from shopflow.kit.postgres import Connection, Row

# A session's last use is when its last token but one was retired; its newest token says when it ends unless used.
_LIVE: Final = """
  FROM refresh_families f
  JOIN LATERAL (
      SELECT sequence, expires_at FROM refresh_tokens WHERE family_id = f.id ORDER BY sequence DESC LIMIT 1
  ) newest ON newest.expires_at > now()
 WHERE f.user_id = $1 AND f.ended_at IS NULL AND f.ends_at > now()
"""

_SESSIONS: Final = f"""
SELECT f.id, f.started_at, f.address, f.user_agent, newest.expires_at,
       coalesce((SELECT first_used_at FROM refresh_tokens WHERE family_id = f.id AND sequence = newest.sequence - 1),
                f.started_at) AS last_used_at
{_LIVE}
"""  # noqa: S608 - a constant condition

_NEWEST_FIRST: Final = "ORDER BY f.started_at DESC, f.id DESC LIMIT $2"

PAGE: Final = f"{_SESSIONS} {_NEWEST_FIRST} OFFSET $3"

NUMBER: Final = f"SELECT count(*) {_LIVE}"

BEGINNING: Final = f"{_SESSIONS} {_NEWEST_FIRST}"

BEHIND: Final = f"{_SESSIONS} AND (f.started_at, f.id) < ($3, $4) {_NEWEST_FIRST}"


async def page(connection: Connection, user_id: UUID, *, limit: int, offset: int) -> tuple[list[SessionView], int]:
    """One page of the sessions of a user, and how many there are in all."""
    rows = await connection.fetch(PAGE, user_id, limit, offset)
    return [_session(row) for row in rows], await connection.fetchval(NUMBER, user_id)


async def stretch(
    connection: Connection, user_id: UUID, *, behind: Position | None, limit: int
) -> tuple[list[SessionView], Position | None]:
    """The sessions behind a position, and the position of the last one when there are more.

    Raises:
        Problem: of kind invalid, when the position is none.
    """
    begin = bounds(behind, instant)
    rows = await connection.fetch(BEHIND if begin else BEGINNING, user_id, limit + 1, *begin)
    shown = rows[:limit]
    end = Position(shown[-1]["started_at"].isoformat(), shown[-1]["id"]) if len(rows) > limit else None
    return [_session(row) for row in shown], end


def _session(row: Row) -> SessionView:
    return SessionView(
        id=str(row["id"]),
        created_at=timestamp(row["started_at"]),
        last_used_at=timestamp(row["last_used_at"]),
        address=row["address"],
        user_agent=row["user_agent"],
        expires_at=timestamp(row["expires_at"]),
    )
