"""The paths of notifications (PRD 4.3): customers read what was sent to them, admins what was sent to anybody."""

from typing import Annotated, Final, Literal
from uuid import UUID

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Caller, Role
from shopflow.kit import pages
from shopflow.kit.answers import problems
from shopflow.kit.openapi import BEARER, CURSOR_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING, Page, Stretch, resumed
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, Kind, forbidden, invalid, not_found
from shopflow.notifications import store
from shopflow.notifications.bodies import NotificationDetail, NotificationSummary
from shopflow.notifications.store import Filter

OWN: Final = "own"

NotificationId = Annotated[str, PathParameter(description="A notification's UUID.", schema_extra=UUID_TEXT)]

_WHOSE: Final = {"enum": ["own", "all"]}
_PROBLEMS = (Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN)


def routes(database: Database, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers, on this database, behind guards made by `allow`."""
    guards = [allow(Role.CUSTOMER, Role.ADMIN)]

    @get(
        "/notifications",
        tags=["Notifications"],
        summary="List notifications, newest first",
        description="Your own. Admins may choose a user with `user_id`, or everybody's with `scope=all`. "
        "In pages with a total, or with `cursor` in stretches that new notifications do not shift.",
        guards=guards,
        security=BEARER,
        responses=problems(*_PROBLEMS),
    )
    async def list_notifications(
        request: CallerRequest,
        *,
        page: Annotated[int, QueryParameter(ge=1, description="Page number")] = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items per page")] = 20,
        channel: Annotated[Literal["email", "sms"] | None, QueryParameter(description="Only this channel")] = None,
        order_id: Annotated[
            str | None, QueryParameter(description="Only about this order", schema_extra=UUID_TEXT)
        ] = None,
        user_id: Annotated[
            str | None, QueryParameter(description="Admins: only to this user", schema_extra=UUID_TEXT)
        ] = None,
        whose: Annotated[  # Litestar keeps the name `scope` for itself
            str,
            QueryParameter(name="scope", description="`own`, or for admins `all`: of every user", schema_extra=_WHOSE),
        ] = OWN,
        status: Annotated[
            Literal["queued", "sent", "failed"] | None, QueryParameter(description="Admins: only in this state")
        ] = None,
        type: Annotated[  # noqa: A002 - the name the API gives it
            Literal["order_created", "order_shipped"] | None,
            QueryParameter(description="Admins: only of this type"),
        ] = None,
        cursor: Annotated[str | None, QueryParameter(description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)] = None,
    ) -> Page[NotificationSummary] | Stretch[NotificationSummary]:
        beyond = None if whose == OWN else whose
        _admins_only(request.user, user_id=user_id, scope=beyond, status=status, type=type)
        wanted = _id("user_id", user_id) or _owner(request.user, whose)
        chosen = Filter(wanted, _id("order_id", order_id), channel, status, type)
        if cursor is not None:
            way = f"notifications {chosen}"
            found, end = await store.stretch(database, chosen, behind=resumed(cursor, way=way), limit=limit)
            return pages.stretch(found, way=way, end=end)
        found, total = await store.page(database, chosen, limit=limit, offset=pages.offset(page, limit))
        return pages.page(found, number=page, limit=limit, total_items=total)

    @get(
        "/notifications/{notification_id:str}",
        tags=["Notifications"],
        summary="Read one notification",
        guards=guards,
        security=BEARER,
        responses=problems(*_PROBLEMS, Kind.NOT_FOUND),
    )
    async def read_notification(request: CallerRequest, notification_id: NotificationId) -> NotificationDetail:
        wanted = _id("id", notification_id)
        found = await store.detail(database, wanted) if wanted else None
        if found is None or not (request.user.is_admin or found.user_id == request.user.id):
            raise not_found("notification")  # another's is answered as if it were not there (R61)
        return found

    return [list_notifications, read_notification]


def _owner(caller: Caller, whose: str) -> UUID | None:
    """Whose notifications are meant; None stands for everybody's."""
    match whose:
        case "own":
            return caller.user_id
        case "all":
            return None
        case _:
            raise invalid(FieldError("scope", "must be own or all"))


def _id(field: str, text: str | None) -> UUID | None:
    if text is None:
        return None
    found = identifier(text)
    if found is None:
        raise invalid(FieldError(field, "must be a UUID"))
    return found


def _admins_only(caller: Caller, **parameters: str | None) -> None:
    """Parameters that reach beyond one's own notifications are an admin's."""
    given = [name for name, value in parameters.items() if value is not None]
    if given and not caller.is_admin:
        raise forbidden(f"Only an admin may use {', '.join(given)}.")
