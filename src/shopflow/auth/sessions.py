"""The SQL about sessions: families of refresh tokens, and what ends a token early. Locks: see `store`."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from shopflow.auth.family import Ending, Link
from shopflow.kit.postgres import Connection

INSERTED_FAMILY: Final = "INSERT INTO refresh_families (user_id, started_at, ends_at) VALUES ($1, $2, $3) RETURNING id"

INSERTED_LINK: Final = """
INSERT INTO refresh_tokens (family_id, sequence, jti, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""

RETIRED_LINK: Final = """
UPDATE refresh_tokens SET first_used_at = $3 WHERE family_id = $1 AND sequence = $2 AND first_used_at IS NULL
"""

LOCKED_FAMILY: Final = "SELECT ends_at, ended_at FROM refresh_families WHERE id = $1 FOR NO KEY UPDATE"

LINKS: Final = """
SELECT t.sequence, t.jti, t.issued_at, t.expires_at, t.first_used_at
  FROM refresh_tokens t
 WHERE t.family_id = $1
   AND (t.sequence IN ($2, $2 + 1) OR t.sequence = (SELECT max(sequence) FROM refresh_tokens WHERE family_id = $1))
 ORDER BY t.sequence
"""

NOW_AND_ENDED_UNTIL: Final = """
SELECT clock_timestamp() AS now,
       (SELECT floor(extract(epoch FROM at))::bigint FROM not_before WHERE user_id = $1) AS ended_until
"""

ENDED_FAMILY: Final = """
UPDATE refresh_families SET ended_at = clock_timestamp(), ended_by = $2 WHERE id = $1 AND ended_at IS NULL
"""

ENDED_FAMILIES: Final = """
UPDATE refresh_families SET ended_at = clock_timestamp(), ended_by = $2 WHERE user_id = $1 AND ended_at IS NULL
"""

ENDED_ACCESS: Final = """
INSERT INTO not_before (user_id, at) VALUES ($1, clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET at = greatest(not_before.at, excluded.at)
"""


class Family(msgspec.Struct, frozen=True):
    """A session's bounds."""

    ends_at: datetime
    ended_at: datetime | None


async def begin_family(connection: Connection, user_id: UUID, *, started_at: datetime, ends_at: datetime) -> UUID:
    """Stores a new session; answers its id."""
    family_id: UUID = await connection.fetchval(INSERTED_FAMILY, user_id, started_at, ends_at)
    return family_id


async def add_link(connection: Connection, family_id: UUID, link: Link) -> None:
    """Stores a refresh token."""
    await connection.execute(INSERTED_LINK, family_id, link.sequence, link.jti, link.issued_at, link.expires_at)


async def retire_link(connection: Connection, family_id: UUID, link: Link, *, at: datetime) -> None:
    """Notes the first use of a refresh token, once and for all."""
    await connection.execute(RETIRED_LINK, family_id, link.sequence, at)


async def locked_family(connection: Connection, family_id: UUID) -> Family | None:
    """A session's bounds; until the transaction ends nobody else refreshes it."""
    row = await connection.fetchrow(LOCKED_FAMILY, family_id)
    return Family(row["ends_at"], row["ended_at"]) if row else None


async def links(connection: Connection, family_id: UUID, sequence: int) -> list[Link]:
    """The refresh token of this number, its successor, and the newest of the family; in order, each once."""
    return [
        Link(
            sequence=row["sequence"],
            jti=row["jti"],
            issued_at=row["issued_at"],
            expires_at=row["expires_at"],
            first_used_at=row["first_used_at"],
        )
        for row in await connection.fetch(LINKS, family_id, sequence)
    ]


async def now_and_ended_until(connection: Connection, user_id: UUID) -> tuple[datetime, int | None]:
    """The instant, not the transaction's beginning; and until which second the user's tokens were ended (R76)."""
    [row] = await connection.fetch(NOW_AND_ENDED_UNTIL, user_id)
    return row["now"], row["ended_until"]


async def end_family(connection: Connection, family_id: UUID, user_id: UUID, ending: Ending) -> None:
    """Ends one session, and all access tokens that its user has (R76)."""
    await connection.execute(ENDED_FAMILY, family_id, ending)
    await connection.execute(ENDED_ACCESS, user_id)


async def end_families(connection: Connection, user_id: UUID, ending: Ending) -> None:
    """Ends all sessions of a user, and all access tokens."""
    await connection.execute(ENDED_FAMILIES, user_id, ending)
    await connection.execute(ENDED_ACCESS, user_id)
