"""The paths between services (PRD 7.1): who shows a token; and the revocation of the tokens that services show."""

from typing import Any

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard

from shopflow.auth import bodies, identify, revoke
from shopflow.auth.bodies import RevokeServiceTokens
from shopflow.auth.routes.guards import OF_BODY, CallerRequest, only
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Role, Validation
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind
from shopflow.kit.senders import authorization
from shopflow.kit.service import INTERNAL


def routes(database: Database, tokens: Tokens, *, known: Guard) -> list[HTTPRouteHandler]:
    """The handlers that services call, and those about their tokens; `known` stands before the latter."""

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
    async def validate(request: Request[Any, Any, Any]) -> Validation:
        return Validation(True, await identify.identify(database, tokens, authorization(request.scope)))

    @post(
        "/auth/service-tokens/revoke",
        guards=[known],
        status_code=204,
        dto=json_body(RevokeServiceTokens),
        return_dto=None,
        tags=["Between services"],
        summary="Revoke a service's tokens",
        opt={"sample": {"name": "notification-service", "issued_before": "2026-02-17T10:30:00.000Z"}},
        description=(
            "For admins. Tokens of this name that were issued before the instant are refused at once, and a later "
            "call never takes that back. An instant up to 30 seconds in the future counts as now; beyond, it is a 400."
        ),
        responses=problems(*OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
        security=BEARER,
    )
    async def revoke_service_tokens(data: JSONBody[RevokeServiceTokens], request: CallerRequest) -> None:
        only(request.user, Role.ADMIN)
        instant = bodies.revocation_instant(data)
        await revoke.revoke(database, data.name, issued_before=instant, by=request.user.id)

    return [validate, revoke_service_tokens]
