"""The SQL about sessions: families of refresh tokens, and what ends a token early. Locks: see `store`."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from shopflow.auth.bodies import SessionView
from shopflow.auth.device import Device
from shopflow.auth.family import Ending, Link
from shopflow.auth.tokens import RefreshClaims
from shopflow.contracts.fields import timestamp
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

# A session's last use is when its last token but one was retired; its newest token says when it ends unless used.
_LIVE: Final = """
  FROM refresh_families f
  JOIN LATERAL (
      SELECT sequence, expires_at FROM refresh_tokens WHERE family_id = f.id ORDER BY sequence DESC LIMIT 1
  ) newest ON newest.expires_at > now()
 WHERE f.user_id = $1 AND f.ended_at IS NULL AND f.ends_at > now()
"""

LIVE_SESSIONS: Final = f"""
SELECT f.id, f.started_at, f.address, f.user_agent, newest.expires_at,
       coalesce((SELECT first_used_at FROM refresh_tokens WHERE family_id = f.id AND sequence = newest.sequence - 1),
                f.started_at) AS last_used_at
{_LIVE}
 ORDER BY f.started_at DESC, f.id DESC LIMIT $2 OFFSET $3
"""  # noqa: S608 - a constant condition

COUNTED_SESSIONS: Final = f"SELECT count(*) {_LIVE}"

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

ENDED_ACCESS: Final = """
INSERT INTO not_before (user_id, at) VALUES ($1, clock_timestamp())
ON CONFLICT (user_id) DO UPDATE SET at = greatest(not_before.at, excluded.at)
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


async def page(connection: Connection, user_id: UUID, *, limit: int, offset: int) -> tuple[list[SessionView], int]:
    """One page of the sessions of a user that go on, newest first, and how many there are in all."""
    found = [
        SessionView(
            id=str(row["id"]),
            created_at=timestamp(row["started_at"]),
            last_used_at=timestamp(row["last_used_at"]),
            address=row["address"],
            user_agent=row["user_agent"],
            expires_at=timestamp(row["expires_at"]),
        )
        for row in await connection.fetch(LIVE_SESSIONS, user_id, limit, offset)
    ]
    return found, await connection.fetchval(COUNTED_SESSIONS, user_id)


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
