"""What stands before the handlers of auth-service: how often somebody may ask, and who is asking."""

from typing import Any, Final, TypeAlias
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from shopflow.auth import identify
from shopflow.auth.tokens import Tokens
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Caller, Role
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, Kind, Problem, forbidden, invalid
from shopflow.kit.rate_limits import RateLimit, noted
from shopflow.kit.senders import authorization, client_address

CallerRequest: TypeAlias = Request[Caller, Any, Any]
"""A request whose `user` is its caller."""

OF_BODY: Final = (Kind.INVALID, Kind.TOO_LARGE, Kind.UNSUPPORTED_TYPE)
"""What can be wrong with a body."""

_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


def counted(per_address: RateLimit) -> Guard:
    """Counts every call for its address."""

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        noted(connection.scope, await per_address.count(client_address(connection.scope)))

    return guard


def known(database: Database, tokens: Tokens, *, per_user: RateLimit, per_address: RateLimit) -> Guard:
    """Puts the caller into `request.user`; tokens that do not hold count for their address (R22)."""

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        try:
            caller = await identify.identify(database, tokens, authorization(connection.scope))
        except Problem as problem:
            if problem.kind is Kind.UNAUTHENTICATED:
                noted(connection.scope, await per_address.count(client_address(connection.scope)))
            raise
        connection.scope["user"] = caller
        if not caller.is_service:
            noted(connection.scope, await per_user.count(caller.id))

    return guard


def asked_user(user_id: str, caller: Caller, *, by_services: bool = False) -> UUID:
    """The user that a path names, if the caller may have to do with them: 400 before 403, both before 404 (R19)."""
    asked = identified("id", user_id)
    allowed = caller.role is Role.ADMIN or (by_services and caller.is_service)
    if not allowed and (caller.is_service or asked != caller.user_id):
        raise forbidden("This is somebody else's account.")
    return asked


def identified(field: str, text: str) -> UUID:
    """The id that a path or a parameter names; invalid when it names none (R43)."""
    found = identifier(text)
    if found is None:
        raise invalid(FieldError(field, "must be a UUID"))
    return found


def only(caller: Caller, *roles: Role) -> None:
    """Lets these roles pass; forbidden for everybody else."""
    if caller.role not in roles:
        raise forbidden(f"This needs the role {' or '.join(roles)}.")
