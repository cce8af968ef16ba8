"""The paths of auth-service (PRD 4.1), put together; each file holds those of one resource, `guards` what precedes."""

from collections.abc import Container

from litestar.handlers import HTTPRouteHandler

from shopflow.auth.attempts import Attempts
from shopflow.auth.hashing import Hashing
from shopflow.auth.routes import accounts, guards, services, sessions
from shopflow.auth.tokens import Tokens
from shopflow.kit.postgres import Database
from shopflow.kit.rate_limits import RateLimit


def routes(
    *,
    database: Database,
    hashing: Hashing,
    tokens: Tokens,
    attempts: Attempts,
    common_passwords: Container[str],
    per_address: RateLimit,
    per_user: RateLimit,
) -> list[HTTPRouteHandler]:
    """Every handler of auth-service.

    Args:
        database: auth-service's own.
        hashing: where passwords are hashed.
        tokens: signs and reads tokens.
        attempts: compares passwords, and makes who guesses wait.
        common_passwords: what nobody may choose, case-folded.
        per_address: one bucket an address for all calls without a good token (R22).
        per_user: one bucket a user for calls with one; services are not counted (R1).
    """
    counted = guards.counted(per_address)
    known = guards.known(database, tokens, per_user=per_user, per_address=per_address)
    return [
        *accounts.routes(database, hashing, common=common_passwords, counted=counted, known=known),
        *sessions.routes(database, hashing, tokens, attempts, common=common_passwords, counted=counted, known=known),
        *services.routes(database, tokens, known=known),
    ]
