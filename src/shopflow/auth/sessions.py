"""The SQL about sessions: families of refresh tokens, and what ends a token early. Locks: see `store`."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from shopflow.auth.device import Device
from shopflow.auth.family import Ending, Link
from shopflow.auth.tokens import RefreshClaims
from shopflow.kit.postgres import Connection

INSERTED_FAMILY: Final = """
INSERT INTO refresh_families (user_id, started_at, ends_at, address, user_agent) VALUES ($1, $2, $3, $4, $5)
RETURNING id
"""

MOVED_FAMILY: Final = """
UPDATE refresh_families SET address = $2, user_agent = $3
 WHERE id = $1 AND (address, user_agent) IS DISTINCT FROM ($2, $3)
"""

INSERTED_LINK: Final = """
INSERT INTO refresh_tokens (family_id, sequence, jti, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""

RETIRED_LINK: Final = """
UPDATE refresh_tokens SET first_used_at = $3 WHERE family_id = $1 AND sequence = $2 AND first_used_at IS NULL
"""

LOCKED_FAMILY: Final = "SELECT ends_at, ended_at, address FROM refresh_families WHERE id = $1 FOR NO KEY UPDATE"

LIVE_FAMILY: Final = """
SELECT f.id
  FROM refresh_families f JOIN refresh_tokens t ON t.family_id = f.id
 WHERE f.id = $1 AND t.sequence = $2 AND t.jti = $3
   AND f.ended_at IS NULL AND least(t.expires_at, f.ends_at) > clock_timestamp()
   FOR NO KEY UPDATE OF f
"""

OWNER: Final = "SELECT user_id FROM refresh_families WHERE id = $1"

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
UPDATE refresh_families SET ended_at = clock_timestamp(), ended_by = $2
 WHERE user_id = $1 AND id IS DISTINCT FROM $3 AND ended_at IS NULL
"""

# Who signed in again within the second of the last end holds tokens of the next second: a further end ends those too.
ENDED_ACCESS: Final = """
INSERT INTO not_before (user_id, at) VALUES ($1, clock_timestamp())
ON CONFLICT (user_id) DO UPDATE
   SET at = greatest(date_trunc('second', not_before.at) + interval '1 second', excluded.at)
"""

FORGOTTEN_FAMILIES: Final = """
DELETE FROM refresh_families
 WHERE id IN (
     SELECT id FROM refresh_families WHERE ends_at < now() - interval '1 day' LIMIT 50 FOR UPDATE SKIP LOCKED
 )
"""
"""Removes a batch of sessions that are over for good: until then, a former token of theirs still shows a theft."""


class Family(msgspec.Struct, frozen=True):
    """A session's bounds, and from where it was used last."""

    ends_at: datetime
    ended_at: datetime | None
    address: str | None


async def begin_family(
    connection: Connection, user_id: UUID, *, started_at: datetime, ends_at: datetime, device: Device
) -> UUID:
    """Stores a new session; answers its id."""
    family_id: UUID = await connection.fetchval(
        INSERTED_FAMILY, user_id, started_at, ends_at, device.address, device.user_agent
    )
    return family_id


async def move_family(connection: Connection, family_id: UUID, device: Device) -> None:
    """Notes where a session was used last."""
    await connection.execute(MOVED_FAMILY, family_id, device.address, device.user_agent)


async def add_link(connection: Connection, family_id: UUID, link: Link) -> None:
    """Stores a refresh token."""
    await connection.execute(INSERTED_LINK, family_id, link.sequence, link.jti, link.issued_at, link.expires_at)


async def retire_link(connection: Connection, family_id: UUID, link: Link, *, at: datetime) -> None:
    """Notes the first use of a refresh token, once and for all."""
    await connection.execute(RETIRED_LINK, family_id, link.sequence, at)


async def locked_family(connection: Connection, family_id: UUID) -> Family | None:
    """A session's bounds; until the transaction ends nobody else refreshes it."""
    row = await connection.fetchrow(LOCKED_FAMILY, family_id)
    return Family(row["ends_at"], row["ended_at"], row["address"]) if row else None


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


async def lock_live(connection: Connection, claims: RefreshClaims) -> bool:
    """Whether a refresh token, retired or not, is of a session that goes on; until the transaction ends it stays so."""
    return await connection.fetchrow(LIVE_FAMILY, claims.family, claims.sequence, claims.jti) is not None


async def owner(connection: Connection, family_id: UUID) -> UUID | None:
    """Whose session this is or was."""
    user_id: UUID | None = await connection.fetchval(OWNER, family_id)
    return user_id


async def end_family(connection: Connection, family_id: UUID, ending: Ending) -> None:
    """Ends one session; access tokens go on until they expire (R76)."""
    await connection.execute(ENDED_FAMILY, family_id, ending)


async def end_families(connection: Connection, user_id: UUID, ending: Ending, *, but: UUID | None = None) -> None:
    """Ends all sessions of a user, one excepted if wanted, and all access tokens (R76)."""
    await connection.execute(ENDED_FAMILIES, user_id, ending, but)
    await end_access(connection, user_id)


async def end_access(connection: Connection, user_id: UUID) -> None:
    """Ends all access tokens of a user, those of this second included (R76)."""
    await connection.execute(ENDED_ACCESS, user_id)
