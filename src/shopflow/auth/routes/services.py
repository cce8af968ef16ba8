"""The paths between services (PRD 7.1): who shows a token."""

from typing import Any

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler

from shopflow.auth import identify
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Validation
from shopflow.kit.answers import problems
from shopflow.kit.openapi import BEARER
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind
from shopflow.kit.senders import authorization
from shopflow.kit.service import INTERNAL


def routes(database: Database, tokens: Tokens) -> list[HTTPRouteHandler]:
    """The handlers that services call, and those about their tokens."""

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

    return [validate]
