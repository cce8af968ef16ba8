"""The paths of sessions: signing in, refreshing (PRD 4.1), signing out, the list of them, and the password."""

from collections.abc import Container
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, delete, get, post
from litestar.datastructures import CacheControlHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, Parameter, QueryParameter
from litestar.types import Guard

from shopflow.auth import bodies, change_password, refresh, session_list, sign_in, sign_out
from shopflow.auth.attempts import Attempts
from shopflow.auth.bodies import ChangePassword, Logout, Refresh, SessionView, SignIn, TokenPair
from shopflow.auth.device import device
from shopflow.auth.hashing import Hashing
from shopflow.auth.routes.guards import OF_BODY, CallerRequest, identified, only
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Caller, Role
from shopflow.kit import pages
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER, CURSOR_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING, Page, Stretch, resumed
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind

_UserId = Annotated[str | None, QueryParameter(description="Admins: whose; a user's UUID", schema_extra=UUID_TEXT)]

_Request = Request[Any, Any, Any]

_NEVER_STORED: Final = CacheControlHeader(no_store=True)
_SAMPLE: Final = {"email": "jane.doe@example.com", "password": "S3cur3P@ssw0rd!"}


def routes(
    database: Database,
    hashing: Hashing,
    tokens: Tokens,
    attempts: Attempts,
    *,
    common: Container[str],
    counted: Guard,
    known: Guard,
) -> list[HTTPRouteHandler]:
    """The handlers of sessions; `counted` stands before what everybody may call, `known` before the rest.

    Nobody may choose one of the `common` passwords.
    """

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
    async def login(data: JSONBody[SignIn], request: _Request) -> TokenPair:
        return await sign_in.sign_in(database, hashing, tokens, attempts, body=data, device=device(request.scope))

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
        return await refresh.refresh(database, tokens, data.refresh_token, device=device(request.scope))

    @post(
        "/auth/logout",
        guards=[counted],
        status_code=204,
        dto=json_body(Logout),
        return_dto=None,
        tags=["Sessions"],
        summary="Sign out",
        opt={"sample": {"refresh_token": "eyJhbGciOiJIUzI1NiIs...", "all": False}},
        description=(
            "Ends the session of the refresh token; its access token holds until it expires. With `all`, ends every "
            "session and every access token of the user. A token that is not known, or of a session that is over, is "
            "answered the same."
        ),
        responses=problems(*OF_BODY),
    )
    async def logout(data: JSONBody[Logout]) -> None:
        await sign_out.sign_out(database, tokens, data.refresh_token, everywhere=data.all)

    @get(
        "/auth/sessions",
        guards=[known],
        tags=["Sessions"],
        summary="List the sessions that go on, newest first",
        description="One's own. Admins may name another user with `user_id`.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
        security=BEARER,
    )
    async def list_sessions(
        request: CallerRequest,
        *,
        page: Annotated[int, QueryParameter(ge=1, description="Page number")] = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items per page")] = 20,
        user_id: _UserId = None,
        cursor: Annotated[str | None, QueryParameter(description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)] = None,
    ) -> Page[SessionView] | Stretch[SessionView]:
        asked = _whose(request.user, user_id)
        if cursor is not None:
            way = f"sessions {asked}"
            found, end = await session_list.stretch(database, asked, behind=resumed(cursor, way=way), limit=limit)
            return pages.stretch(found, way=way, end=end)
        found, total = await session_list.page(database, asked, limit=limit, offset=pages.offset(page, limit))
        return pages.page(found, number=page, limit=limit, total_items=total)

    @delete(
        "/auth/sessions/{session_id:str}",
        guards=[known],
        tags=["Sessions"],
        summary="End a session",
        description=(
            "One's own; admins name another's user with `user_id`. Its access token holds until it expires. "
            "May be repeated."
        ),
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
        security=BEARER,
    )
    async def end_session(
        session_id: Annotated[str, Parameter(description="A session's UUID.", schema_extra=UUID_TEXT)],
        request: CallerRequest,
        *,
        user_id: _UserId = None,
    ) -> None:
        ended, asked = identified("id", session_id), _whose(request.user, user_id)
        await sign_out.end_session(database, ended, user_id=asked, by=request.user.id)

    @post(
        "/auth/password",
        guards=[known],
        status_code=204,
        dto=json_body(ChangePassword),
        return_dto=None,
        tags=["Sessions"],
        summary="Change one's password",
        opt={"sample": {"current_password": _SAMPLE["password"], "new_password": "An0ther-P@ssw0rd!"}},
        description=(
            "Ends every other session, and every access token: the session of `refresh_token` stays, and gets a new "
            "one by refreshing."
        ),
        responses=problems(*OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
        security=BEARER,
    )
    async def replace_password(data: JSONBody[ChangePassword], request: CallerRequest) -> None:
        only(request.user, Role.CUSTOMER, Role.ADMIN)
        await change_password.change_password(
            database,
            hashing,
            tokens,
            attempts,
            caller=request.user,
            body=bodies.checked(data, common),
            device=device(request.scope),
        )

    return [login, refresh_pair, logout, list_sessions, end_session, replace_password]


def _whose(caller: Caller, user_id: str | None) -> UUID:
    """Whose sessions are meant: one's own, or for admins those of the user that is named."""
    only(caller, Role.CUSTOMER, Role.ADMIN)
    if user_id is None:
        return caller.user_id
    only(caller, Role.ADMIN)
    return identified("user_id", user_id)
