"""What stands before the handlers of order-service and notification-service: who is calling, and how often (PRD 7.1).

The caller ends up in `request.user`. The same rules for both services (R10, R22).
"""

from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from shopflow.clients.auth import AUTHENTICATION_UNAVAILABLE, AuthClient
from shopflow.contracts.identity import Caller, Role
from shopflow.kit.problems import Kind, Problem, forbidden
from shopflow.kit.rate_limits import RateLimit, client_address

CallerRequest: TypeAlias = Request[Caller, None, Any]
"""A request whose `user` is its caller."""

_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


def authenticated(auth: AuthClient, *, per_user: RateLimit, per_address: RateLimit) -> Guard:
    """A guard that has auth-service check the token of every request, then counts it.

    Args:
        auth: whom to ask.
        per_user: the limit of each user; services are not counted (R2).
        per_address: the limit of refused tokens from one address, so that junk cannot hammer auth-service.
    """

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        address = client_address(connection.scope)
        await per_address.check(address)
        try:
            caller = await auth.caller(connection.headers.get("authorization"))
        except Problem as problem:
            if problem.kind is Kind.UNAUTHENTICATED and problem.code != AUTHENTICATION_UNAVAILABLE:
                await per_address.count(address)
            raise
        if not caller.is_service:
            await per_user.count(caller.id)
        connection.scope["user"] = caller

    return guard


def only(*roles: Role) -> Guard:
    """A guard, after `authenticated`, that lets these roles through and answers 403 to the others."""

    def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        caller: Caller = connection.scope["user"]
        if caller.role not in roles:
            raise forbidden(f"This needs the role {' or '.join(roles)}.")

    return guard
