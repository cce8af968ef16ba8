"""What auth-service reads and answers over HTTP (PRD 4.1), and the rules of its fields."""

from collections.abc import Container
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from shopflow.auth.family import Link
from shopflow.auth.passwords import broken_rules
from shopflow.auth.tokens import ACCESS_SECONDS, RefreshClaims, Tokens
from shopflow.auth.user import Changes, NewUser, User, normalised_email
from shopflow.contracts.fields import Phone, Timestamp, instant, timestamp
from shopflow.contracts.identity import Profile, Role
from shopflow.kit.discreet import Discreet
from shopflow.kit.problems import FieldError, invalid

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Filled = Annotated[str, msgspec.Meta(min_length=1)]

_LINE_BREAKS: Final = frozenset("\r\n")


class Register(Discreet, frozen=True):
    """The body of `POST /auth/register`. Unknown members, `role` among them, are ignored (R18)."""

    email: str
    password: str
    first_name: Name
    last_name: Name
    phone: Phone | None = None


class Registered(msgspec.Struct, frozen=True):
    """The answer of `POST /auth/register`."""

    id: str
    email: str
    first_name: str
    last_name: str
    phone: str | None
    role: Role
    created_at: Timestamp


class SignIn(Discreet, frozen=True):
    """The body of `POST /auth/login`. Only what is missing is refused here; what is wrong is a 401 (R12)."""

    email: Filled
    password: Filled


class Refresh(Discreet, frozen=True):
    """The body of `POST /auth/refresh`."""

    refresh_token: str


class Logout(Discreet, frozen=True):
    """The body of `POST /auth/logout`: `all` ends every session of the token's user."""

    refresh_token: str
    all: bool = False


class ChangePassword(Discreet, frozen=True):
    """The body of `POST /auth/password`; the session of `refresh_token` stays."""

    current_password: Filled
    new_password: str
    refresh_token: str | None = None


class RevokeServiceTokens(msgspec.Struct, frozen=True):
    """The body of `POST /auth/service-tokens/revoke`."""

    name: Literal["order-service", "notification-service"]
    issued_before: Timestamp


class SessionView(msgspec.Struct, frozen=True):
    """One entry of `GET /auth/sessions`."""

    id: str
    created_at: Timestamp
    last_used_at: Timestamp
    address: str | None
    user_agent: str | None
    expires_at: Timestamp


class TokenPair(Discreet, frozen=True):
    """The answer of `POST /auth/login` and `POST /auth/refresh`; `expires_in` is seconds of the access token."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind, not a token
    expires_in: int = ACCESS_SECONDS


class EditProfile(msgspec.Struct, frozen=True):
    """The body of `PATCH /auth/users/{id}`: any of these. `role` and `is_active` are for admins."""

    first_name: Name | UnsetType = UNSET
    last_name: Name | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET
    role: Literal["customer", "admin"] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


def new_user(body: Register, common: Container[str] = ()) -> NewUser:
    """Who wants to register; their password is none of the `common` ones.

    Raises:
        Problem: of kind invalid, with every rule that msgspec cannot say.
    """
    email = normalised_email(body.email)
    errors = _broken_names(first_name=body.first_name, last_name=body.last_name)
    errors += [FieldError("password", rule) for rule in broken_rules(body.password, common)]
    if email is None:
        raise invalid(FieldError("email", "must be an e-mail address"), *errors)
    if errors:
        raise invalid(*errors)
    return NewUser(
        email=email,
        password=body.password,
        first_name=body.first_name,
        last_name=body.last_name,
        phone=body.phone,
    )


def checked(body: ChangePassword, common: Container[str] = ()) -> ChangePassword:
    """A change to a password that breaks no rule and is none of the `common` ones.

    Raises:
        Problem: of kind invalid, with every rule that the new one breaks.
    """
    if broken := broken_rules(body.new_password, common):
        raise invalid(*(FieldError("new_password", rule) for rule in broken))
    return body


def revocation_instant(body: RevokeServiceTokens) -> datetime:
    """Before which instant tokens are revoked; what lies before 1970 counts as that.

    Raises:
        Problem: of kind invalid, when the text is no timestamp with an offset.
    """
    try:
        return max(instant(body.issued_before), datetime.fromtimestamp(0, UTC))
    except ValueError:
        raise invalid(FieldError("issued_before", "must be an RFC 3339 timestamp with an offset")) from None


def changes(body: EditProfile) -> Changes:
    """What an edit asks for.

    Raises:
        Problem: of kind invalid, when a name is blank or has line breaks (R39, M-1).
    """
    if errors := _broken_names(first_name=body.first_name, last_name=body.last_name):
        raise invalid(*errors)
    return Changes(
        first_name=body.first_name,
        last_name=body.last_name,
        phone=body.phone,
        role=UNSET if body.role is UNSET else Role(body.role),
        is_active=body.is_active,
    )


def registered(user: User) -> Registered:
    """A new user as the contract shows one: from an explicit list, never from the row (A16)."""
    return Registered(
        id=str(user.id),
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        phone=user.phone,
        role=user.role,
        created_at=timestamp(user.created_at),
    )


def profile(user: User) -> Profile:
    """A user as the contract shows one."""
    return Profile(
        id=str(user.id),
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        phone=user.phone,
        role=user.role,
        is_active=user.is_active,
        created_at=timestamp(user.created_at),
        updated_at=timestamp(user.updated_at),
    )


def token_pair(tokens: Tokens, user: User, family_id: UUID, link: Link, *, issued: int) -> TokenPair:
    """An access token from `issued` on, in seconds since 1970, and the refresh token that a row stands for."""
    claims = RefreshClaims(
        sub=user.id,
        family=family_id,
        sequence=link.sequence,
        jti=link.jti,
        iat=int(link.issued_at.timestamp()),
        exp=int(link.expires_at.timestamp()),
    )
    return TokenPair(
        access_token=tokens.access(user.id, user.email, user.role, issued=issued), refresh_token=tokens.refresh(claims)
    )


def _broken_names(**names: str | UnsetType) -> list[FieldError]:
    """What msgspec cannot say of names; one with a line break could start another header of an e-mail (M-1)."""
    given = {field: value for field, value in names.items() if value is not UNSET}
    blank = [FieldError(field, "must not be blank") for field, value in given.items() if not value.strip()]
    return blank + [
        FieldError(field, "must not have line breaks") for field, value in given.items() if _LINE_BREAKS & {*value}
    ]
