"""Says who shows a token: for `POST /auth/validate`, and for auth-service's own protected paths (A9, A10, R6, R7)."""

from typing import Final, assert_never

from shopflow.auth import revocations, store
from shopflow.auth.tokens import ServiceToken, Tokens, UserToken, invalid_token, judge
from shopflow.contracts.identity import Caller, Role
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import unauthenticated

_SCHEME: Final = "bearer "


async def identify(connection: Connection, tokens: Tokens, authorization: str | None) -> Caller:
    """Whom the Authorization header speaks for.

    A user's role and e-mail come from the database, and so does the clock: one primary-key read. A service has no
    account, but its tokens may have been revoked, which is one read too.

    Raises:
        Problem: of kind unauthenticated: `token-missing`, `token-invalid` or `token-expired`.
    """
    match tokens.read(_bearer(authorization)):
        case ServiceToken() as token:
            service = await revocations.service_standing(connection, token.name)
            judge(token, now=service.now)
            if service.issued_before is not None and token.issued < service.issued_before:
                raise invalid_token()
            return Caller(id=token.name, email=None, role=Role.SERVICE)
        case UserToken() as token:
            holder = await store.standing(connection, token.user_id)
            if holder is None:
                raise invalid_token()
            judge(token, now=holder.now, ended_until=holder.ended_until)
            if not holder.is_active:
                raise invalid_token()
            return Caller(id=str(token.user_id), email=holder.email, role=holder.role)
        case never:
            assert_never(never)


def _bearer(authorization: str | None) -> str:
    """The token of a header that is exactly a scheme, in any case, one space, and a token."""
    if not authorization:
        raise unauthenticated("token-missing", "This needs an Authorization header with a bearer token.")
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise invalid_token()
    return authorization[len(_SCHEME) :]
