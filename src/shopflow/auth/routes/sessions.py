"""The paths of sessions (PRD 4.1): signing in and refreshing."""

from typing import Any, Final

from litestar import Request, post
from litestar.datastructures import CacheControlHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard

from shopflow.auth import refresh, sign_in
from shopflow.auth.bodies import Refresh, SignIn, TokenPair
from shopflow.auth.hashing import Hashing
from shopflow.auth.routes.guards import OF_BODY
from shopflow.auth.tokens import Tokens
from shopflow.kit.answers import json_body, problems
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind
from shopflow.kit.senders import client_address

_Request = Request[Any, Any, Any]

_NEVER_STORED: Final = CacheControlHeader(no_store=True)
_SAMPLE: Final = {"email": "jane.doe@example.com", "password": "S3cur3P@ssw0rd!"}


def routes(database: Database, hashing: Hashing, tokens: Tokens, *, counted: Guard) -> list[HTTPRouteHandler]:
    """The handlers of sessions; `counted` stands before what everybody may call."""

    @post(
        "/auth/login",
        guards=[counted],
        status_code=200,
        dto=json_body(SignIn),
        return_dto=None,
        cache_control=_NEVER_STORED,
        tags=["Sessions"],
        summary="Sign in",
        opt={"sample": _SAMPLE},
        description="403 tells that the account is deactivated, and only to somebody who knows the password.",
        responses=problems(*OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
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
        responses=problems(*OF_BODY, Kind.UNAUTHENTICATED),
    )
    async def refresh_pair(data: JSONBody[Refresh], request: _Request) -> TokenPair:
        return await refresh.refresh(database, tokens, data.refresh_token, address=client_address(request.scope))

    return [login, refresh_pair]
