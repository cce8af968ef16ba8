"""Exchanges a refresh token for a new pair (PRD 4.1): rotation, its two tolerances, and the end of a stolen session."""

from typing import assert_never
from uuid import UUID, uuid4

from shopflow.auth import family, sessions, store
from shopflow.auth.bodies import TokenPair, token_pair
from shopflow.auth.device import Device
from shopflow.auth.family import Ending, Refuse, Repeat, Reuse, Rotate
from shopflow.auth.tokens import RefreshClaims, Tokens, invalid_token, issue_time
from shopflow.auth.user import User
from shopflow.kit import logs
from shopflow.kit.postgres import Connection, Database


async def refresh(database: Database, tokens: Tokens, text: str, *, device: Device) -> TokenPair:
    """A new access token, and the refresh token that follows the one shown (A1-A4).

    Args:
        database: auth-service's own.
        tokens: signs and reads them.
        text: the refresh token.
        device: where it came from; pseudonyms of it and of the last address are logged when a session is ended.

    Raises:
        Problem: of kind unauthenticated, `token-invalid`, whatever the reason. A reuse is committed before.
    """
    claims = tokens.read_refresh(text)
    async with database.transaction() as connection:
        pair = await _refreshed(connection, tokens, claims, device=device)
    if pair is None:
        raise invalid_token()
    return pair


async def _refreshed(
    connection: Connection, tokens: Tokens, claims: RefreshClaims, *, device: Device
) -> TokenPair | None:
    user = await store.holder_of_family(connection, claims.family)
    bounds = await sessions.locked_family(connection, claims.family)
    if user is None or bounds is None or not user.is_active or bounds.ended_at is not None:
        return None
    links = await sessions.links(connection, claims.family, claims.sequence)
    shown = next((each for each in links if each.sequence == claims.sequence and each.jti == claims.jti), None)
    now, ended_until = await sessions.now_and_ended_until(connection, user.id)
    if shown is None or bounds.ends_at <= now:
        return None
    child = next((each for each in links if each.sequence == claims.sequence + 1), None)
    match family.judge(shown, child=child, newest=links[-1], now=now):
        case Rotate():
            follower = family.link(shown.sequence + 1, jti=uuid4(), now=now, ends_at=bounds.ends_at)
            await sessions.retire_link(connection, claims.family, shown, at=now)
            await sessions.add_link(connection, claims.family, follower)
            await sessions.move_family(connection, claims.family, device)
        case Repeat(follower):
            pass
        case Refuse():
            return None
        case Reuse():
            await sessions.end_family(connection, claims.family, Ending.REUSE)
            await sessions.end_access(connection, user.id)
            _tell(tokens, user, claims.family, shown_from=device.address, used_from=bounds.address)
            return None
        case never:
            assert_never(never)
    return token_pair(tokens, user, claims.family, follower, issued=issue_time(now, ended_until))


def _tell(tokens: Tokens, user: User, family_id: UUID, *, shown_from: str, used_from: str | None) -> None:
    """Tells operators of a theft: of the two addresses one is the thief's, and equal ones are equal here too (A4)."""
    logs.logger("security").warning(
        "refresh_token_reused",
        family_id=family_id,
        user_id=user.id,
        shown_from=tokens.pseudonym(shown_from),
        used_from=tokens.pseudonym(used_from) if used_from else None,
    )
