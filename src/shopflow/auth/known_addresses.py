"""The SQL about the addresses that users signed in from (A11). Holds pseudonyms, never an address."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from shopflow.kit.postgres import Connection

MOST: Final = 20
"""Addresses that are remembered of one user; beyond that the one not used for longest is forgotten."""

REMEMBERED_DAYS: Final = 30

KNOWN: Final = f"last_at > now() - interval '{REMEMBERED_DAYS} days'"
"""When an address counts as known."""

NOTED: Final = f"""
WITH noted AS (
    INSERT INTO known_addresses (user_id, address) VALUES ($1, $2)
    ON CONFLICT (user_id, address) DO UPDATE SET last_at = now()
)
DELETE FROM known_addresses
 WHERE user_id = $1 AND address IN (
       SELECT address FROM known_addresses WHERE user_id = $1 AND address <> $2
        ORDER BY last_at DESC OFFSET {MOST - 1} FOR UPDATE SKIP LOCKED)
"""  # noqa: S608 - a constant number

FORGOTTEN_BUT: Final = "DELETE FROM known_addresses WHERE user_id = $1 AND address <> ALL($2)"

FORGOTTEN: Final = f"""
DELETE FROM known_addresses WHERE (user_id, address) IN (
       SELECT user_id, address FROM known_addresses WHERE NOT {KNOWN} LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608 - a constant condition
"""One batch of those that are known no more."""


async def note(connection: Connection, user_id: UUID, address: str) -> None:
    """Remembers that a user signed in from an address, given by its pseudonym."""
    await connection.execute(NOTED, user_id, address)


async def forget(connection: Connection, user_id: UUID, *, but: Sequence[str] = ()) -> None:
    """Forgets a user's addresses, except one of these: whoever knew the old password is a stranger again."""
    await connection.execute(FORGOTTEN_BUT, user_id, but)
