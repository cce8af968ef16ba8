"""What stands before the handlers of order-service and notification-service: who is calling, how often, in what role.

The caller ends up in `request.user`. The same rules for both services (PRD 7.1, R10, R22).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from shopflow.clients.auth import AUTHENTICATION_UNAVAILABLE, AuthClient
from shopflow.contracts.identity import Caller, Role
from shopflow.kit.problems import Kind, Problem, forbidden
from shopflow.kit.rate_limits import RateLimit, noted
from shopflow.kit.senders import authorization, client_address

CallerRequest: TypeAlias = Request[Caller, None, Any]
"""A request whose `user` is its caller."""

Allow: TypeAlias = Callable[..., Guard]
"""Makes the guard that lets these roles through: `allow(Role.ADMIN)`."""

_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


def authenticated(auth: AuthClient, *, per_user: RateLimit, per_address: RateLimit) -> Allow:
    """Makes guards that have auth-service check the token of every request, count it, and look at the caller's role.

    One guard does all of it: each further one costs every request a copy of its handler.

    Args:
        auth: whom to ask.
        per_user: the limit of each user; services are not counted (R2).
        per_address: the limit of refused tokens from one address, so that junk cannot hammer auth-service.
    """

    async def caller_of(connection: _Connection) -> Caller:
        address = client_address(connection.scope)
        per_address.check(address)
        try:
            return await auth.caller(authorization(connection.scope))
        except Problem as problem:
            if problem.kind is Kind.UNAUTHENTICATED and problem.code != AUTHENTICATION_UNAVAILABLE:
                noted(connection.scope, await per_address.count(address))
            raise

    def allow(*roles: Role) -> Guard:
        async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
            caller = connection.scope["user"] = await caller_of(connection)
            if not caller.is_service:
                noted(connection.scope, await per_user.count(caller.id))
            if caller.role not in roles:
                raise forbidden(f"This needs the role {' or '.join(roles)}.")

        return guard

    return allow
