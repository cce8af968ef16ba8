"""The three kinds of token (PRD 4.1, 8): access, refresh and service; signing them, reading them, judging their times.

A kind is never accepted as another: refresh tokens have a key, a `typ` and claims of their own (A5). Nothing in here
asks a clock or a database. Token texts are never stored: a refresh token is signed again from its row (A1).
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from hmac import digest
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OctKey

from shopflow.auth.keys import Keys, keys
from shopflow.auth.remembered import Remembered
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Role
from shopflow.kit.problems import Problem, unauthenticated

T = TypeVar("T")

ACCESS_SECONDS: Final = 3600
"""How long an access token lives (PRD 4.1)."""

SERVICE_SECONDS: Final = 24 * 3600
"""How long a service token lives (PRD 8.2)."""

SERVICES: Final = frozenset({"order-service", "notification-service"})
"""The names that a service token may carry (A10)."""

CLOCK_SKEW: Final = 30
"""Seconds that `iat` may lie in the future; `exp` has no tolerance (A13)."""

LONGEST: Final = 4096
"""Characters of a token; a longer one is refused unread (A6)."""

_REMEMBERED: Final = 8192
_ACCESS: Final = "JWT"
_REFRESH: Final = "refresh+jwt"
_ONLY: Final = ["HS256"]

Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an access token says (PRD 4.1: exactly these five), or a service token (PRD 8.2: no e-mail)."""

    sub: str
    email: str | None = None
    role: Role
    iat: Seconds
    exp: Seconds


class RefreshClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a refresh token says: which row of which family it is (A1)."""

    kind: Literal["refresh"] = "refresh"
    sub: UUID
    family: UUID
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=2**31 - 1)]
    jti: UUID
    iat: Seconds
    exp: Seconds


class Signer(StrEnum):
    """Which of the two secrets signed a token (A14)."""

    CURRENT = "current"
    PREVIOUS = "previous"


class TokenKind(StrEnum):
    """The kinds of token."""

    ACCESS = "access"
    REFRESH = "refresh"
    SERVICE = "service"


Verified: TypeAlias = Callable[[TokenKind, Signer], None]
"""Hears of each token whose signature holds."""


class UserToken(msgspec.Struct, frozen=True, array_like=True, tag="user"):
    """A well-signed access token. Whether it holds depends on its account and on the clock (A9, `judge`)."""

    user_id: UUID
    issued: int
    expires: int
    signer: Signer = Signer.CURRENT


class ServiceToken(msgspec.Struct, frozen=True, array_like=True, tag="service"):
    """A well-signed service token of a service that may have one."""

    name: str
    issued: int
    expires: int
    signer: Signer = Signer.CURRENT


class Tokens:
    """Signs with one secret, and reads what that one and the one before it signed (A14).

    The `kid` in a token's header says which was it, but decides nothing: whatever it says, both are tried.

    Args:
        secret: PRD's `JWT_SECRET`; anybody who holds it can read and make access tokens (R3).
        previous: a secret whose tokens hold too.
        remembered: how many verified access tokens are remembered, so that the next look costs no signature.
        verified: hears of each token that is read, remembered ones included.
    """

    def __init__(
        self,
        secret: str,
        *,
        previous: str | None = None,
        remembered: int = _REMEMBERED,
        verified: Verified | None = None,
    ) -> None:
        self._current = keys(secret)
        self._trusted = {Signer.CURRENT: self._current} | ({Signer.PREVIOUS: keys(previous)} if previous else {})
        self._verified = verified
        self._remembered = Remembered(remembered)
        self._pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
        unpacked: msgspec.msgpack.Decoder[UserToken | ServiceToken] = msgspec.msgpack.Decoder(UserToken | ServiceToken)
        self._unpack = unpacked.decode

    @property
    def key_id(self) -> str:
        """The `kid` of the tokens signed here: a fingerprint of the secret."""
        return self._current.id

    @property
    def remembered(self) -> int:
        """How many verified access and service tokens are remembered."""
        return len(self._remembered)

    def access(self, user_id: UUID, email: str, role: Role, *, issued: int) -> str:
        """An access token; `issued` is in seconds since 1970, as `issue_time` says."""
        claims = Claims(sub=str(user_id), email=email, role=role, iat=issued, exp=issued + ACCESS_SECONDS)
        return _signed(self._header(_ACCESS), claims, self._current.access)

    def service(self, name: str, *, issued: int) -> str:
        """A service token for one of SERVICES, from `issued` on (PRD 8.2).

        Raises:
            ValueError: no service of this name may have one.
        """
        if name not in SERVICES:
            raise ValueError(f"no service token for this name; there are {', '.join(sorted(SERVICES))}")
        claims = Claims(sub=name, role=Role.SERVICE, iat=issued, exp=issued + SERVICE_SECONDS)
        return _signed(self._header(_ACCESS), claims, self._current.access)

    def refresh(self, claims: RefreshClaims) -> str:
        """A refresh token; the same claims always give the same text, as long as the secret is the same (A1)."""
        return _signed(self._header(_REFRESH), claims, self._current.refresh)

    def read(self, text: str) -> UserToken | ServiceToken:
        """What an access or service token says, its signature verified and its times not judged yet.

        Raises:
            Problem: of kind unauthenticated, `token-invalid`.
        """
        if (known := self._remembered.of(text)) is not None:
            token = self._unpack(known)
        else:
            token = self._read(text)
            self._remembered.keep(text, self._pack(token))
        if self._verified:
            self._verified(TokenKind.ACCESS if isinstance(token, UserToken) else TokenKind.SERVICE, token.signer)
        return token

    def read_refresh(self, text: str) -> RefreshClaims:
        """What a refresh token says, its signature verified; its row decides the rest.

        Raises:
            Problem: of kind unauthenticated, `token-invalid`.
        """
        signer, claims = _opened(text, _REFRESH, RefreshClaims, trusted=self._keys(lambda each: each.refresh))
        if self._verified:
            self._verified(TokenKind.REFRESH, signer)
        return claims

    def pseudonym(self, text: str) -> str:
        """A stand-in for an address: equal for equal texts, of no use without the secret (A4)."""
        return self.pseudonyms(text)[0]

    def pseudonyms(self, text: str) -> list[str]:
        """The pseudonym of an address, and the one that it had before the secret was changed (A14)."""
        return [digest(each.pseudonym, text.encode(), "sha256").hex()[:16] for each in self._trusted.values()]

    def _read(self, text: str) -> UserToken | ServiceToken:
        signer, claims = _opened(text, _ACCESS, Claims, trusted=self._keys(lambda each: each.access))
        if claims.role is Role.SERVICE:
            if claims.sub not in SERVICES or claims.email is not None:
                raise invalid_token()
            return ServiceToken(claims.sub, claims.iat, claims.exp, signer)
        user_id = identifier(claims.sub)
        if user_id is None or claims.email is None:
            raise invalid_token()
        return UserToken(user_id, claims.iat, claims.exp, signer)

    def _header(self, typ: str) -> dict[str, str]:
        return {"alg": "HS256", "typ": typ, "kid": self.key_id}

    def _keys(self, which: Callable[[Keys], OctKey]) -> Iterator[tuple[Signer, OctKey]]:
        return ((signer, which(each)) for signer, each in self._trusted.items())


def service_token(secret: str, name: str, now: datetime) -> str:
    """A service token, as the command line mints it; ValueError for an unknown name."""
    return Tokens(secret).service(name, issued=int(now.timestamp()))


def issue_time(now: datetime, ended_until: int | None) -> int:
    """From when a new access token counts: never within the second in which all former ones were ended (R76)."""
    seconds = int(now.timestamp())
    return seconds if ended_until is None else max(seconds, ended_until + 1)


def judge(token: UserToken | ServiceToken, *, now: float, ended_until: int | None = None) -> None:
    """Lets a token pass whose times hold.

    Args:
        token: the token.
        now: seconds since 1970.
        ended_until: tokens issued in this second or before were ended early (R76).

    Raises:
        Problem: of kind unauthenticated, `token-expired` or `token-invalid`.
    """
    if token.expires <= now:
        raise unauthenticated("token-expired", "The token has expired.")
    if token.issued > now + CLOCK_SKEW or (ended_until is not None and token.issued <= ended_until):
        raise invalid_token()


def invalid_token() -> Problem:
    """The one answer for every token that does not hold, whatever the reason."""
    return unauthenticated("token-invalid", "The token is not valid.")


def _signed(header: dict[str, str], claims: msgspec.Struct, key: OctKey) -> str:
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, algorithms=_ONLY)


def _opened(text: str, typ: str, claims: type[T], *, trusted: Iterator[tuple[Signer, OctKey]]) -> tuple[Signer, T]:
    if len(text) > LONGEST:
        raise invalid_token()
    try:
        signer, token = _verified(text, trusted)
        header = token.headers()
        if not header.keys() <= {"alg", "typ", "kid"} or header.get("typ", _ACCESS) != typ:
            raise invalid_token()
        return signer, msgspec.convert(json.loads(token.payload, object_pairs_hook=_once), claims)
    except (
        JoseError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # joserfc meets headers that are no object
        raise invalid_token() from None


def _verified(text: str, trusted: Iterator[tuple[Signer, OctKey]]) -> tuple[Signer, jws.CompactSignature]:
    """The token, and the first of the keys that signed it; BadSignatureError when none did."""
    for signer, key in trusted:
        try:
            return signer, jws.deserialize_compact(text, key, algorithms=_ONLY)
        except BadSignatureError:
            continue
    raise BadSignatureError


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose members are all different: readers that disagree on which of two counts are an attack."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
