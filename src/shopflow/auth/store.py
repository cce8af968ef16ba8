"""The SQL of auth-service: users, sessions, and what ends a token early. The connection comes first, so that the
transaction is visible; rows turn into nouns here. Locks are taken in one order: standing, user, family."""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from shopflow.auth.family import Ending, Link
from shopflow.auth.user import NewUser, User, normalised_email
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Role
from shopflow.kit.postgres import Connection, Row

SCHEMA: Final = Path(__file__).parent / "schema"
"""The migrations of auth-service."""

_USER: Final = "id, email, first_name, last_name, phone, role, is_active, created_at, updated_at"

INSERTED_USER: Final = f"""
INSERT INTO users (email, password_hash, first_name, last_name, phone, role)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING {_USER}
"""  # noqa: S608 - a constant list of columns

USER: Final = f"SELECT {_USER} FROM users WHERE id = $1"  # noqa: S608 - a constant list of columns

USER_BY_EMAIL: Final = f"SELECT {_USER} FROM users WHERE email = $1"  # noqa: S608 - a constant list of columns

LOCKED_USER: Final = f"{USER} FOR NO KEY UPDATE"

SAVED_USER: Final = f"""
UPDATE users
   SET first_name = $2, last_name = $3, phone = $4, role = $5, is_active = $6, updated_at = now()
 WHERE id = $1
RETURNING {_USER}
"""  # noqa: S608 - a constant list of columns

STANDING: Final = """
SELECT u.email, u.role, u.is_active, extract(epoch FROM now())::float8 AS now,
       floor(extract(epoch FROM n.at))::bigint AS ended_until
  FROM users u LEFT JOIN not_before n ON n.user_id = u.id
 WHERE u.id = $1
"""

CREDENTIALS: Final = "SELECT id, password_hash, is_active FROM users WHERE email = $1"

UNCHANGED_HOLDER: Final = f"""
SELECT {_USER}, clock_timestamp() AS now,
       (SELECT floor(extract(epoch FROM at))::bigint FROM not_before WHERE user_id = $1) AS ended_until
  FROM users WHERE id = $1 AND password_hash = $2 AND is_active
   FOR SHARE
"""  # noqa: S608 - a constant list of columns

REPLACED_HASH: Final = "UPDATE users SET password_hash = $2, updated_at = now() WHERE id = $1"

STRENGTHENED_HASH: Final = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2"

OTHER_ADMIN: Final = "SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND is_active AND id <> $1)"

STANDING_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('shopflow.auth.standing'))"

INSERTED_FAMILY: Final = "INSERT INTO refresh_families (user_id, started_at, ends_at) VALUES ($1, $2, $3) RETURNING id"

INSERTED_LINK: Final = """
INSERT INTO refresh_tokens (family_id, sequence, jti, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""

RETIRED_LINK: Final = """
UPDATE refresh_tokens SET first_used_at = $3 WHERE family_id = $1 AND sequence = $2 AND first_used_at IS NULL
"""

HOLDER_OF_FAMILY: Final = f"""
SELECT {_USER} FROM users WHERE id = (SELECT user_id FROM refresh_families WHERE id = $1) FOR SHARE
"""  # noqa: S608 - a constant list of columns

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

NOTED_DEACTIVATION: Final = """
INSERT INTO deactivations (user_id, by, reason) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO NOTHING
"""

FORGOTTEN_DEACTIVATION: Final = "DELETE FROM deactivations WHERE user_id = $1"


class Standing(msgspec.Struct, frozen=True):
    """What the holder of a token is right now, and the database's clock in seconds since 1970."""

    email: str
    role: Role
    is_active: bool
    now: float
    ended_until: int | None


class Credentials(msgspec.Struct, frozen=True):
    """What a password is compared with."""

    user_id: UUID
    password_hash: str
    is_active: bool


class Holder(msgspec.Struct, frozen=True):
    """A user about to get tokens, the instant, and until which second all earlier ones were ended (R76)."""

    user: User
    now: datetime
    ended_until: int | None


class Family(msgspec.Struct, frozen=True):
    """A session's bounds."""

    ends_at: datetime
    ended_at: datetime | None


async def add_user(connection: Connection, user: NewUser, *, password_hash: str, role: Role) -> User:
    """Stores a new user; AlreadyExists when the e-mail is taken."""
    row = await connection.fetchrow(
        INSERTED_USER, user.email, password_hash, user.first_name, user.last_name, user.phone, role
    )
    return _user(_present(row))


async def user(connection: Connection, user_id: UUID) -> User | None:
    """A user by id, inactive ones included."""
    row = await connection.fetchrow(USER, user_id)
    return _user(row) if row else None


async def find(connection: Connection, who: str) -> User | None:
    """A user by id or by e-mail address, as a person at the command line names one."""
    if user_id := identifier(who):
        return await user(connection, user_id)
    row = await connection.fetchrow(USER_BY_EMAIL, normalised_email(who) or "")
    return _user(row) if row else None


async def locked_user(connection: Connection, user_id: UUID) -> User | None:
    """A user by id, whom nobody else changes or signs in until the transaction ends."""
    row = await connection.fetchrow(LOCKED_USER, user_id)
    return _user(row) if row else None


async def save_user(connection: Connection, changed: User) -> User:
    """Stores what may change about a user."""
    row = await connection.fetchrow(
        SAVED_USER,
        changed.id,
        changed.first_name,
        changed.last_name,
        changed.phone,
        changed.role,
        changed.is_active,
    )
    return _user(_present(row))


async def standing(connection: Connection, user_id: UUID) -> Standing | None:
    """What the holder of a token is right now: the one read of every validation (A9)."""
    row = await connection.fetchrow(STANDING, user_id)
    if row is None:
        return None
    return Standing(row["email"], Role(row["role"]), row["is_active"], row["now"], row["ended_until"])


async def credentials(connection: Connection, email: str) -> Credentials | None:
    """What the password of an address is compared with."""
    row = await connection.fetchrow(CREDENTIALS, email)
    return Credentials(row["id"], row["password_hash"], row["is_active"]) if row else None


async def unchanged_holder(connection: Connection, known: Credentials) -> Holder | None:
    """The user whose password was compared, unless it was changed or the user deactivated meanwhile."""
    row = await connection.fetchrow(UNCHANGED_HOLDER, known.user_id, known.password_hash)
    return Holder(_user(row), row["now"], row["ended_until"]) if row else None


async def replace_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Stores the hash of a new password."""
    await connection.execute(REPLACED_HASH, user_id, password_hash)


async def strengthen_hash(connection: Connection, known: Credentials, password_hash: str) -> None:
    """Stores a costlier hash of the same password, unless the password was changed meanwhile."""
    await connection.execute(STRENGTHENED_HASH, known.user_id, known.password_hash, password_hash)


async def lock_standing(connection: Connection) -> None:
    """Lets one transaction at a time change who is admin and who is active."""
    await connection.execute(STANDING_LOCK)


async def is_other_admin(connection: Connection, user_id: UUID) -> bool:
    """Whether an active admin besides this one exists."""
    return bool(await connection.fetchval(OTHER_ADMIN, user_id))


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


async def holder_of_family(connection: Connection, family_id: UUID) -> User | None:
    """Whose session this is; until the transaction ends the user stays as read."""
    row = await connection.fetchrow(HOLDER_OF_FAMILY, family_id)
    return _user(row) if row else None


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
    row = _present(await connection.fetchrow(NOW_AND_ENDED_UNTIL, user_id))
    return row["now"], row["ended_until"]


async def end_family(connection: Connection, family_id: UUID, user_id: UUID, ending: Ending) -> None:
    """Ends one session, and all access tokens that its user has (R76)."""
    await connection.execute(ENDED_FAMILY, family_id, ending)
    await connection.execute(ENDED_ACCESS, user_id)


async def end_families(connection: Connection, user_id: UUID, ending: Ending) -> None:
    """Ends all sessions of a user, and all access tokens."""
    await connection.execute(ENDED_FAMILIES, user_id, ending)
    await connection.execute(ENDED_ACCESS, user_id)


async def note_deactivation(connection: Connection, user_id: UUID, *, by: str, reason: str | None) -> None:
    """Notes since when a user is inactive (R25)."""
    await connection.execute(NOTED_DEACTIVATION, user_id, by, reason)


async def forget_deactivation(connection: Connection, user_id: UUID) -> None:
    """Forgets that a user was inactive."""
    await connection.execute(FORGOTTEN_DEACTIVATION, user_id)


def _user(row: Row) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        phone=row["phone"],
        role=Role(row["role"]),
        is_active=row["is_active"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _present(row: Row | None) -> Row:
    if row is None:
        raise LookupError("a statement that always answers a row answered none")
    return row
