"""The paths of what a support desk does about one notification: look at its attempts, send it again."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter, QueryParameter

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Caller, Role
from shopflow.kit import pages
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER, CURSOR_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING, Page, Stretch, resumed
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, Kind, invalid, not_found
from shopflow.notifications import attempts, bodies, store
from shopflow.notifications.bodies import Attempt, AttemptForAdmins, NotificationDetail
from shopflow.notifications.resend import Resend

NotificationId = Annotated[str, PathParameter(description="A notification's UUID.", schema_extra=UUID_TEXT)]

_TAGS: Final = ["Notifications"]
_PROBLEMS: Final = (Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND)


def routes(database: Database, resend: Resend, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers; the first one also for customers, about what was sent to them."""

    @get(
        "/notifications/{notification_id:str}/attempts",
        tags=_TAGS,
        summary="List the attempts to deliver a notification, oldest first",
        description="Its customer sees when and what came of each; admins also what the provider said.",
        guards=[allow(Role.CUSTOMER, Role.ADMIN)],
        security=BEARER,
        responses=problems(*_PROBLEMS),
    )
    async def list_attempts(
        notification_id: NotificationId,
        request: CallerRequest,
        *,
        page: Annotated[int, QueryParameter(ge=1, description="Page number")] = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items per page")] = 20,
        cursor: Annotated[str | None, QueryParameter(description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)] = None,
    ) -> Page[AttemptForAdmins | Attempt] | Stretch[AttemptForAdmins | Attempt]:
        wanted = _id(notification_id)
        about = await store.detail(database, wanted)
        if about is None or not (request.user.is_admin or about.user_id == request.user.id):
            raise not_found("notification")  # another's is answered as if it were not there (R61)
        if cursor is not None:
            way = f"attempts {wanted}"
            found, end = await attempts.stretch(database, wanted, behind=resumed(cursor, way=way), limit=limit)
            return pages.stretch(_shown(found, request.user), way=way, end=end)
        found, total = await attempts.page(database, wanted, limit=limit, offset=pages.offset(page, limit))
        return pages.page(_shown(found, request.user), number=page, limit=limit, total_items=total)

    @post(
        "/notifications/{notification_id:str}/resend",
        status_code=202,
        dto=json_body(bodies.Resend),
        return_dto=None,
        opt={"sample": {"reason": "the customer deleted it"}},
        tags=_TAGS,
        summary="Send a notification again",
        description="The same text to the same recipient, as a new notification that is answered here, `queued`. What "
        "is still on its way is not sent again: 409.",
        guards=[allow(Role.ADMIN)],
        security=BEARER,
        responses=problems(*_PROBLEMS, Kind.CONFLICT, Kind.TOO_LARGE, Kind.UNSUPPORTED_TYPE),
    )
    async def resend_notification(
        notification_id: NotificationId, data: JSONBody[bodies.Resend], request: CallerRequest
    ) -> NotificationDetail:
        return await resend.resend(_id(notification_id), by=request.user.id, reason=data.reason)

    return [list_attempts, resend_notification]


def _shown(found: Sequence[AttemptForAdmins], caller: Caller) -> list[AttemptForAdmins | Attempt]:
    return [*found] if caller.is_admin else [*bodies.for_customers(found)]


def _id(text: str) -> UUID:
    found = identifier(text)
    if found is None:
        raise invalid(FieldError("id", "must be a UUID"))
    return found
