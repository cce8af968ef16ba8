"""Lets a user choose another password, against the present one; every other session ends with it (A15, R76)."""

from uuid import UUID

from shopflow.auth import known_addresses, sessions, store
from shopflow.auth.attempts import Attempts
from shopflow.auth.bodies import ChangePassword
from shopflow.auth.device import Device
from shopflow.auth.family import Ending
from shopflow.auth.hashing import Hashing
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Caller
from shopflow.kit import logs
from shopflow.kit.postgres import Connection, Database
from shopflow.kit.problems import Kind, Problem, unauthenticated


async def change_password(
    database: Database,
    hashing: Hashing,
    tokens: Tokens,
    attempts: Attempts,
    *,
    caller: Caller,
    body: ChangePassword,
    device: Device,
) -> None:
    """Stores the hash of a new password that breaks no rule, and ends the user's access tokens and other sessions.

    Costs one comparison, and one hash when that succeeds. The session of `body.refresh_token`, if it is one of the
    user's, stays, and gets new access tokens by refreshing.

    Raises:
        Problem: of kind too-many, `too-many-failures`; of kind unauthenticated, `invalid-credentials`; of kind
            unavailable, when too many hashes wait.
    """
    user_id, asked_from = caller.user_id, tokens.pseudonyms(device.address)
    known = await store.credentials_of(database, user_id, asked_from=asked_from)
    right = await attempts.match(body.current_password, known, email=caller.email or "")
    if known is None or not right:
        raise _refused()
    password_hash = await hashing.hashed(body.new_password)
    async with database.transaction() as connection:
        if not await store.exchange_hash(connection, known, password_hash):
            raise _refused()
        await known_addresses.forget(connection, user_id, but=asked_from)
        kept = await _kept(connection, tokens, user_id, body.refresh_token)
        await sessions.end_families(connection, user_id, Ending.PASSWORD, but=kept)
    logs.logger("auth").info("password_changed", user_id=user_id)


async def _kept(connection: Connection, tokens: Tokens, user_id: UUID, text: str | None) -> UUID | None:
    """The session that the change is made from, if the user shows a token of one."""
    try:
        claims = tokens.read_refresh(text) if text is not None else None
    except Problem as problem:
        if problem.kind is Kind.UNAUTHENTICATED:
            return None
        raise
    if claims is None or claims.sub != user_id or not await sessions.lock_live(connection, claims):
        return None
    return claims.family


def _refused() -> Problem:
    return unauthenticated("invalid-credentials", "The current password is wrong.")
