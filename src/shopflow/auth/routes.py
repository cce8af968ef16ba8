"""The paths of auth-service (PRD 4.1): who may ask how often, and which use case answers."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, delete, get, patch, post
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import JSONBody, Parameter
from litestar.types import Guard

from shopflow.auth import bodies, change, identify, refresh, register, sign_in, store
from shopflow.auth.bodies import EditProfile, Refresh, Register, Registered, SignIn, TokenPair
from shopflow.auth.hashing import Hashing
from shopflow.auth.tokens import Tokens
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Caller, Profile, Role, Validation
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, Kind, Problem, forbidden, invalid, not_found
from shopflow.kit.rate_limits import RateLimit
from shopflow.kit.senders import authorization, client_address
from shopflow.kit.service import INTERNAL

_Connection = ASGIConnection[Any, Any, Any, Any]
_Request = Request[Any, Any, Any]
_CallerRequest = Request[Caller, Any, Any]

_NEVER_STORED = CacheControlHeader(no_store=True)
_UserId = Annotated[str, Parameter(description="A user's UUID.")]


_REGISTER_SAMPLE = {
    "email": "jane.doe@example.com",
    "password": "S3cur3P@ssw0rd!",
    "first_name": "Jane",
    "last_name": "Doe",
    "phone": "+15551234567",
}


def routes(
    *, database: Database, hashing: Hashing, tokens: Tokens, per_address: RateLimit, per_user: RateLimit
) -> list[HTTPRouteHandler]:
    """Every handler of auth-service.

    Args:
        database: auth-service's own.
        hashing: where passwords are hashed.
        tokens: signs and reads tokens.
        per_address: one bucket an address for all calls without a good token (R22).
        per_user: one bucket a user for calls with one; services are not counted (R1).
    """
    counted = _counted(per_address)
    known = _known(database, tokens, per_user=per_user, per_address=per_address)

    @post(
        "/auth/register",
        guards=[counted],
        dto=json_body(Register),
        return_dto=None,
        tags=["Accounts"],
        summary="Create an account",
        opt={"sample": _REGISTER_SAMPLE},
        description="The e-mail address is stored and answered in lower case. Everybody starts as a customer.",
        responses=problems(*_OF_BODY, Kind.CONFLICT),
    )
    async def register_user(data: JSONBody[Register]) -> Registered:
        return bodies.registered(await register.register(database, hashing, bodies.new_user(data)))

    @post(
        "/auth/login",
        guards=[counted],
        status_code=200,
        dto=json_body(SignIn),
        return_dto=None,
        cache_control=_NEVER_STORED,
        tags=["Sessions"],
        summary="Sign in",
        opt={"sample": {name: _REGISTER_SAMPLE[name] for name in ("email", "password")}},
        description="403 tells that the account is deactivated, and only to somebody who knows the password.",
        responses=problems(*_OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
    )
    async def login(data: JSONBody[SignIn]) -> TokenPair:
        return await sign_in.sign_in(database, hashing, tokens, body=data)

    @post(
        "/auth/refresh",
        guards=[counted],
        status_code=200,
        dto=json_body(Refresh),
        return_dto=None,
        cache_control=_NEVER_STORED,
        tags=["Sessions"],
        summary="Exchange a refresh token for a new pair",
        description=(
            "Each refresh token is good for one exchange. Shown again within ten seconds, or while its successor was "
            "never used within five minutes, it gives the same successor; after that, the session ends."
        ),
        responses=problems(*_OF_BODY, Kind.UNAUTHENTICATED),
    )
    async def refresh_pair(data: JSONBody[Refresh], request: _Request) -> TokenPair:
        return await refresh.refresh(database, tokens, data.refresh_token, address=client_address(request.scope))

    @post(
        "/auth/validate",
        status_code=200,
        opt=INTERNAL,
        tags=["Between services"],
        summary="Who shows this token",
        description="Looks at the account on every call: whoever is deactivated or demoted is so at once.",
        responses=problems(Kind.UNAUTHENTICATED, limited=False),
        security=BEARER,
    )
    async def validate(request: _Request) -> Validation:
        return Validation(True, await identify.identify(database, tokens, authorization(request.scope)))

    @get(
        "/auth/users/{user_id:str}",
        guards=[known],
        tags=["Accounts"],
        summary="Read a profile",
        description="One's own; admins and services read every one, deactivated ones included.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
        security=BEARER,
    )
    async def read_profile(user_id: _UserId, request: _CallerRequest) -> Profile:
        asked = _asked(user_id, request.user, by_services=True)
        user = await store.user(database, asked)
        if user is None:
            raise not_found("user")
        return bodies.profile(user)

    @patch(
        "/auth/users/{user_id:str}",
        guards=[known],
        dto=json_body(EditProfile),
        return_dto=None,
        tags=["Accounts"],
        summary="Change a profile",
        opt={"sample": {"first_name": "Jane", "phone": "+15551234567"}},
        description="One's own name and phone; admins change everybody's, and also `role` and `is_active`.",
        responses=problems(*_OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.CONFLICT),
        security=BEARER,
    )
    async def edit_profile(user_id: _UserId, data: JSONBody[EditProfile], request: _CallerRequest) -> Profile:
        changes = bodies.changes(data)
        asked = _asked(user_id, request.user)
        if changes.touch_standing and not request.user.is_admin:
            raise forbidden("Only admins change role and is_active.")
        return bodies.profile(await change.change(database, asked, changes, by=request.user.id))

    @delete(
        "/auth/users/{user_id:str}",
        guards=[known],
        tags=["Accounts"],
        summary="Deactivate an account",
        description="One's own, or anybody's for admins. All its sessions and tokens end at once. May be repeated.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.CONFLICT),
        security=BEARER,
    )
    async def deactivate(user_id: _UserId, request: _CallerRequest) -> None:
        await change.deactivate(database, _asked(user_id, request.user), by=request.user.id)

    return [register_user, login, refresh_pair, validate, read_profile, edit_profile, deactivate]


_OF_BODY = (Kind.INVALID, Kind.TOO_LARGE, Kind.UNSUPPORTED_TYPE)


def _counted(per_address: RateLimit) -> Guard:
    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        await per_address.count(client_address(connection.scope))

    return guard


def _known(database: Database, tokens: Tokens, *, per_user: RateLimit, per_address: RateLimit) -> Guard:
    """Puts the caller into `request.user`; tokens that do not hold count for their address (R22)."""

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        try:
            caller = await identify.identify(database, tokens, authorization(connection.scope))
        except Problem as problem:
            if problem.kind is Kind.UNAUTHENTICATED:
                await per_address.count(client_address(connection.scope))
            raise
        if not caller.is_service:
            await per_user.count(caller.id)
        connection.scope["user"] = caller

    return guard


def _asked(user_id: str, caller: Caller, *, by_services: bool = False) -> UUID:
    """The user that a path names, if the caller may have to do with them: 400 before 403, both before 404 (R19)."""
    asked = identifier(user_id)
    if asked is None:
        raise invalid(FieldError("id", "must be a UUID"))
    allowed = caller.role is Role.ADMIN or (by_services and caller.is_service)
    if not allowed and (caller.is_service or asked != caller.user_id):
        raise forbidden("This is somebody else's account.")
    return asked
