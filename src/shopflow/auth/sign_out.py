"""Ends sessions because somebody wants them ended: with a session's own refresh token, or from the list of sessions."""

from uuid import UUID

from shopflow.auth import sessions, store
from shopflow.auth.family import Ending
from shopflow.auth.tokens import Tokens
from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem, not_found


async def sign_out(database: Database, tokens: Tokens, text: str, *, everywhere: bool) -> None:
    """Ends the session of a refresh token, or all sessions and access tokens of its user (A15, R76).

    Whatever does not hold, or belongs to a session that is over, ends nothing, and nobody is told.
    """
    try:
        claims = tokens.read_refresh(text)
    except Problem as problem:
        if problem.kind is Kind.UNAUTHENTICATED:
            return
        raise
    async with database.transaction() as connection:
        user = await store.locked_user(connection, claims.sub)
        if user is None or not await sessions.lock_live(connection, claims):
            return
        if everywhere:
            await sessions.end_families(connection, user.id, Ending.LOGOUT)
        else:
            await sessions.end_family(connection, claims.family, Ending.LOGOUT)
    logs.logger("auth").info("signed_out", user_id=user.id, everywhere=everywhere)


async def end_session(database: Database, session_id: UUID, *, user_id: UUID, by: str) -> None:
    """Ends one session of a user; one that is over stays as it is. Access tokens hold until they expire (R76).

    Raises:
        Problem: of kind not found, when the user has no such session.
    """
    async with database.transaction() as connection:
        if await sessions.owner(connection, session_id) != user_id:
            raise not_found("session")
        await sessions.end_family(connection, session_id, Ending.REVOCATION)
    logs.logger("auth").info("session_ended", user_id=user_id, session_id=session_id, by=by)
