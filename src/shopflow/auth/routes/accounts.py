"""The paths of accounts (PRD 4.1): registering, reading and changing profiles, deactivating."""

from collections.abc import Container
from typing import Annotated, Final, Literal

from litestar import delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, Parameter, QueryParameter
from litestar.types import Guard

from shopflow.auth import bodies, change, directory, register, store
from shopflow.auth.bodies import EditProfile, Register, Registered
from shopflow.auth.hashing import Hashing
from shopflow.auth.routes.guards import OF_BODY, CallerRequest, asked_user, only
from shopflow.contracts.identity import Profile, Role
from shopflow.kit import pages
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER, CURSOR_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING, Page, Stretch, resumed
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, forbidden, not_found

_UserId = Annotated[str, Parameter(description="A user's UUID.", schema_extra=UUID_TEXT)]

_SAMPLE: Final = {
    "email": "jane.doe@example.com",
    "password": "S3cur3P@ssw0rd!",
    "first_name": "Jane",
    "last_name": "Doe",
    "phone": "+15551234567",
}


def routes(
    database: Database, hashing: Hashing, *, common: Container[str], counted: Guard, known: Guard
) -> list[HTTPRouteHandler]:
    """The handlers of accounts; `counted` stands before what everybody may call, `known` before the rest.

    Nobody may choose one of the `common` passwords.
    """

    @post(
        "/auth/register",
        guards=[counted],
        dto=json_body(Register),
        return_dto=None,
        tags=["Accounts"],
        summary="Create an account",
        opt={"sample": _SAMPLE},
        description="The e-mail address is stored and answered in lower case. Everybody starts as a customer.",
        responses=problems(*OF_BODY, Kind.CONFLICT),
    )
    async def register_user(data: JSONBody[Register]) -> Registered:
        return bodies.registered(await register.register(database, hashing, bodies.new_user(data, common)))

    @get(
        "/auth/users/{user_id:str}",
        guards=[known],
        tags=["Accounts"],
        summary="Read a profile",
        description="One's own; admins and services read every one, deactivated ones included.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
        security=BEARER,
    )
    async def read_profile(user_id: _UserId, request: CallerRequest) -> Profile:
        asked = asked_user(user_id, request.user, by_services=True)
        user = await store.user(database, asked)
        if user is None:
            raise not_found("user")
        return bodies.profile(user)

    @get(
        "/auth/users",
        guards=[known],
        tags=["Accounts"],
        summary="List accounts, newest first",
        description="For admins. Several filters narrow the list together; `q` looks at every account.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
        security=BEARER,
    )
    async def list_accounts(
        request: CallerRequest,
        *,
        page: Annotated[int, QueryParameter(ge=1, description="Page number")] = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items per page")] = 20,
        email: Annotated[str | None, QueryParameter(description="Only this address, in any case")] = None,
        phone: Annotated[str | None, QueryParameter(description="Only this number; write its + as %2B")] = None,
        role: Annotated[Literal["customer", "admin"] | None, QueryParameter(description="Only this role")] = None,
        is_active: Annotated[bool | None, QueryParameter(description="Only active, or only deactivated ones")] = None,
        q: Annotated[
            str | None,
            QueryParameter(
                min_length=1, max_length=100, description="A part of the name or the address, or how the id begins"
            ),
        ] = None,
        cursor: Annotated[str | None, QueryParameter(description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)] = None,
    ) -> Page[Profile] | Stretch[Profile]:
        only(request.user, Role.ADMIN)
        chosen = directory.chosen(email=email, phone=phone, role=role, is_active=is_active, q=q)
        if cursor is not None:
            way = f"accounts {chosen}"
            found, end = await directory.stretch(database, chosen, behind=resumed(cursor, way=way), limit=limit)
            return pages.stretch([bodies.profile(each) for each in found], way=way, end=end)
        found, total = await directory.page(database, chosen, limit=limit, offset=pages.offset(page, limit))
        return pages.page([bodies.profile(each) for each in found], number=page, limit=limit, total_items=total)

    @patch(
        "/auth/users/{user_id:str}",
        guards=[known],
        dto=json_body(EditProfile),
        return_dto=None,
        tags=["Accounts"],
        summary="Change a profile",
        opt={"sample": {"first_name": "Jane", "phone": "+15551234567"}},
        description="One's own name and phone; admins change everybody's, and also `role` and `is_active`.",
        responses=problems(*OF_BODY, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.CONFLICT),
        security=BEARER,
    )
    async def edit_profile(user_id: _UserId, data: JSONBody[EditProfile], request: CallerRequest) -> Profile:
        changes = bodies.changes(data)
        asked = asked_user(user_id, request.user)
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
    async def deactivate(user_id: _UserId, request: CallerRequest) -> None:
        await change.deactivate(database, asked_user(user_id, request.user), by=request.user.id)

    return [register_user, read_profile, list_accounts, edit_profile, deactivate]
