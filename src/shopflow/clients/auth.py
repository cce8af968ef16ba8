"""auth-service as its neighbours see it: who a caller is (PRD 7.1), and a user's profile (PRD 7.3)."""

from typing import Final, TypeVar
from uuid import UUID

from shopflow.clients import as_service
from shopflow.contracts.identity import Caller, Profile, Validation
from shopflow.kit.credentials import Credential
from shopflow.kit.decoding import Decoder
from shopflow.kit.peer import Answer, Peer
from shopflow.kit.problems import Problem, unauthenticated, unavailable

T = TypeVar("T")

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404

AUTHENTICATION_UNAVAILABLE: Final = "authentication-unavailable"
"""The code of a 401 that was made from auth-service's own trouble: the token may be good, try again (R11)."""


class AuthClient:
    """Typed calls to auth-service.

    Args:
        peer: the wire.
        service_token: what this service shows of itself; needed for `profile`, optional for `caller` (R9).
    """

    def __init__(self, peer: Peer, *, service_token: Credential) -> None:
        self._peer = peer
        self._service_token = service_token
        self._validation = Decoder(Validation, strict=False)
        self._profile = Decoder(Profile, strict=False)

    async def caller(self, authorization: str | None) -> Caller:
        """Who sent a request, by its Authorization header. Never cached (R11).

        Raises:
            Problem: unauthenticated for every answer but 200; unavailable when there is no answer.
        """
        if not authorization:
            raise unauthenticated("token-missing", "This needs an Authorization header with a bearer token.")
        headers = {"Authorization": authorization}
        if own := self._service_token.token():
            headers["X-Service-Authorization"] = f"Bearer {own}"
        answer = await self._peer.ask("POST", "/auth/validate", headers)
        if answer.status != _OK:
            raise _not_validated(answer)
        return self._validated(answer)

    async def profile(self, user_id: UUID) -> Profile | None:
        """A user's profile, inactive users included; None when there is no such user.

        Raises:
            Problem: unauthenticated when our own service token does not hold; unavailable for everything else.
        """
        answer = await as_service.read(self._peer, f"/auth/users/{user_id}", self._service_token)
        if answer.status == _OK:
            return _decoded(self._profile, answer)
        if answer.status == _NOT_FOUND:
            return None
        if answer.status == _UNAUTHORIZED:
            raise unauthenticated("service-token-refused", "auth-service refuses our service token.")
        raise unavailable("auth-service-unavailable", f"auth-service answered {answer.status}.")

    def _validated(self, answer: Answer) -> Caller:
        validation = _decoded(self._validation, answer)
        if not validation.valid:
            raise unauthenticated("token-invalid", "The token is not valid.")
        return validation.user


def _not_validated(answer: Answer) -> Problem:
    if answer.status == _UNAUTHORIZED:
        code = "token-expired" if b"token-expired" in answer.body else "token-invalid"
        return unauthenticated(code, "The token is not valid, or no longer.")
    return unauthenticated(
        AUTHENTICATION_UNAVAILABLE,
        "The token could not be checked just now; it may be good. Try again.",
        retry_after=answer.retry_after or 1,
    )


def _decoded(decoder: Decoder[T], answer: Answer) -> T:
    try:
        return decoder.decode(answer.body)
    except Problem as problem:
        raise unavailable("auth-service-unavailable", "auth-service answered something unreadable.") from problem
