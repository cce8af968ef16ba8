"""The SQL about users: who they are, what their password is compared with, how they stand.

The connection comes first, so that the transaction is visible; rows turn into nouns here. Their sessions are in
`sessions`. Locks are taken in one order: standing, user, family.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from shopflow.auth.known_addresses import KNOWN
from shopflow.auth.user import NewUser, User, normalised_email
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Role
from shopflow.kit.discreet import Discreet
from shopflow.kit.postgres import Connection, Row, rows_changed

SCHEMA: Final = Path(__file__).parent / "schema"
"""The migrations of auth-service."""

USER_COLUMNS: Final = "id, email, first_name, last_name, phone, role, is_active, created_at, updated_at"
"""What `user_of` reads."""

INSERTED_USER: Final = f"""
INSERT INTO users (email, password_hash, first_name, last_name, phone, role)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (email) DO NOTHING
RETURNING {USER_COLUMNS}
"""  # noqa: S608 - a constant list of columns

USER: Final = f"SELECT {USER_COLUMNS} FROM users WHERE id = $1"  # noqa: S608 - a constant list of columns

USER_BY_EMAIL: Final = f"SELECT {USER_COLUMNS} FROM users WHERE email = $1"  # noqa: S608 - a constant list of columns

LOCKED_USER: Final = f"{USER} FOR NO KEY UPDATE"

SAVED_USER: Final = f"""
UPDATE users
   SET first_name = $2, last_name = $3, phone = $4, role = $5, is_active = $6, updated_at = now()
 WHERE id = $1
RETURNING {USER_COLUMNS}
"""  # noqa: S608 - a constant list of columns

STANDING: Final = """
SELECT u.email, u.role, u.is_active, extract(epoch FROM now())::float8 AS now,
       floor(extract(epoch FROM n.at))::bigint AS ended_until
  FROM users u LEFT JOIN not_before n ON n.user_id = u.id
 WHERE u.id = $1
"""

_CREDENTIALS: Final = f"""
SELECT id, password_hash, is_active,
       EXISTS (SELECT FROM known_addresses WHERE user_id = id AND address = ANY($2) AND {KNOWN}) AS at_known_address
  FROM users
"""  # noqa: S608 - a constant condition

CREDENTIALS: Final = f"{_CREDENTIALS} WHERE email = $1"

CREDENTIALS_OF: Final = f"{_CREDENTIALS} WHERE id = $1"

UNCHANGED_HOLDER: Final = f"""
SELECT {USER_COLUMNS}, clock_timestamp() AS now,
       (SELECT floor(extract(epoch FROM at))::bigint FROM not_before WHERE user_id = $1) AS ended_until
  FROM users WHERE id = $1 AND password_hash = $2 AND is_active
   FOR SHARE
"""  # noqa: S608 - a constant list of columns

REPLACED_HASH: Final = "UPDATE users SET password_hash = $2, updated_at = now() WHERE id = $1"

EXCHANGED_HASH: Final = """
UPDATE users SET password_hash = $3, updated_at = now() WHERE id = $1 AND password_hash = $2 AND is_active
"""

STRENGTHENED_HASH: Final = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2"

OTHER_ADMIN: Final = "SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND is_active AND id <> $1)"

STANDING_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('shopflow.auth.standing'))"

HOLDER_OF_FAMILY: Final = f"""
SELECT {USER_COLUMNS} FROM users WHERE id = (SELECT user_id FROM refresh_families WHERE id = $1) FOR SHARE
"""  # noqa: S608 - a constant list of columns

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


class Credentials(Discreet, frozen=True):
    """What a password is compared with."""

    user_id: UUID
    password_hash: str
    is_active: bool
    at_known_address: bool
    """Whether who asks does so from an address that this account signed in from lately (A11)."""


class Holder(msgspec.Struct, frozen=True):
    """A user about to get tokens, the instant, and until which second all earlier ones were ended (R76)."""

    user: User
    now: datetime
    ended_until: int | None


async def add_user(connection: Connection, user: NewUser, *, password_hash: str, role: Role) -> User | None:
    """Stores a new user; None when the e-mail is taken. An error instead would tell PostgreSQL's log the address."""
    row = await connection.fetchrow(
        INSERTED_USER, user.email, password_hash, user.first_name, user.last_name, user.phone, role
    )
    return user_of(row) if row else None


async def user(connection: Connection, user_id: UUID) -> User | None:
    """A user by id, inactive ones included."""
    row = await connection.fetchrow(USER, user_id)
    return user_of(row) if row else None


async def find(connection: Connection, who: str) -> User | None:
    """A user by id or by e-mail address, as a person at the command line names one."""
    if user_id := identifier(who):
        return await user(connection, user_id)
    row = await connection.fetchrow(USER_BY_EMAIL, normalised_email(who) or "")
    return user_of(row) if row else None


async def locked_user(connection: Connection, user_id: UUID) -> User | None:
    """A user by id, whom nobody else changes or signs in until the transaction ends."""
    row = await connection.fetchrow(LOCKED_USER, user_id)
    return user_of(row) if row else None


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
    return user_of(_present(row))


async def standing(connection: Connection, user_id: UUID) -> Standing | None:
    """What the holder of a token is right now: the one read of every validation (A9)."""
    row = await connection.fetchrow(STANDING, user_id)
    if row is None:
        return None
    return Standing(row["email"], Role(row["role"]), row["is_active"], row["now"], row["ended_until"])


async def credentials(connection: Connection, email: str, *, asked_from: Sequence[str]) -> Credentials | None:
    """What the password of an e-mail address is compared with, asked from an address of these pseudonyms."""
    return _credentials(await connection.fetchrow(CREDENTIALS, email, asked_from))


async def credentials_of(connection: Connection, user_id: UUID, *, asked_from: Sequence[str]) -> Credentials | None:
    """What the password of a user is compared with, asked from an address of these pseudonyms."""
    return _credentials(await connection.fetchrow(CREDENTIALS_OF, user_id, asked_from))


async def unchanged_holder(connection: Connection, known: Credentials) -> Holder | None:
    """The user whose password was compared, unless it was changed or the user deactivated meanwhile."""
    row = await connection.fetchrow(UNCHANGED_HOLDER, known.user_id, known.password_hash)
    return Holder(user_of(row), row["now"], row["ended_until"]) if row else None


async def replace_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Stores the hash of a new password."""
    await connection.execute(REPLACED_HASH, user_id, password_hash)


async def exchange_hash(connection: Connection, known: Credentials, password_hash: str) -> bool:
    """Stores the hash of a new password, unless it was changed or the user deactivated meanwhile; answers whether.

    Until the transaction ends nobody else changes or signs in this user.
    """
    return (
        rows_changed(await connection.execute(EXCHANGED_HASH, known.user_id, known.password_hash, password_hash)) == 1
    )


async def strengthen_hash(connection: Connection, known: Credentials, password_hash: str) -> bool:
    """Stores a costlier hash of the same password, unless another was stored meanwhile; answers whether."""
    done = await connection.execute(STRENGTHENED_HASH, known.user_id, known.password_hash, password_hash)
    return rows_changed(done) == 1


async def lock_standing(connection: Connection) -> None:
    """Lets one transaction at a time change who is admin and who is active."""
    await connection.execute(STANDING_LOCK)


async def is_other_admin(connection: Connection, user_id: UUID) -> bool:
    """Whether an active admin besides this one exists."""
    return bool(await connection.fetchval(OTHER_ADMIN, user_id))


async def holder_of_family(connection: Connection, family_id: UUID) -> User | None:
    """Whose session this is; until the transaction ends the user stays as read."""
    row = await connection.fetchrow(HOLDER_OF_FAMILY, family_id)
    return user_of(row) if row else None


async def note_deactivation(connection: Connection, user_id: UUID, *, by: str, reason: str | None) -> None:
    """Notes since when a user is inactive (R25)."""
    await connection.execute(NOTED_DEACTIVATION, user_id, by, reason)


async def forget_deactivation(connection: Connection, user_id: UUID) -> None:
    """Forgets that a user was inactive."""
    await connection.execute(FORGOTTEN_DEACTIVATION, user_id)


def user_of(row: Row) -> User:
    """The user that a row stands for."""
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


def _credentials(row: Row | None) -> Credentials | None:
    if row is None:
        return None
    return Credentials(row["id"], row["password_hash"], row["is_active"], row["at_known_address"])


def _present(row: Row | None) -> Row:
    if row is None:
        raise LookupError("a statement that always answers a row answered none")
    return row
