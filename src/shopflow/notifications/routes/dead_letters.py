"""The paths of parked messages: admins read them, have them handled again, or discard them."""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter, QueryParameter

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.fields import identifier, instant
from shopflow.contracts.identity import Role
from shopflow.kit import pages
from shopflow.kit.answers import json_body, problems
from shopflow.kit.openapi import BEARER, CURSOR_TEXT, INSTANT_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING, Page, Stretch, resumed
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, Kind, invalid, not_found
from shopflow.notifications import dead_letters, discard
from shopflow.notifications.bodies import (
    ActOnDeadLetter,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterFilter,
    ReplayDeadLetters,
    ReplayedDeadLetters,
)
from shopflow.notifications.dead_letters import MOST_PREVIEWED, Filter
from shopflow.notifications.parking import LONGEST_REASON, State
from shopflow.notifications.replay import MOST, Replay

DeadLetterId = Annotated[str, PathParameter(description="A parked message's UUID.", schema_extra=UUID_TEXT)]

_TAGS: Final = ["Dead letters"]
_PROBLEMS: Final = (Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN)
_OF_BODY: Final = (*_PROBLEMS, Kind.TOO_LARGE, Kind.UNSUPPORTED_TYPE)
_SAMPLE: Final = {"reason": "the provider is back"}


def routes(database: Database, replay: Replay, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers, all of them for admins."""
    return [*_reads(database, allow=allow), *_actions(database, replay, allow=allow)]


def _reads(database: Database, *, allow: Allow) -> list[HTTPRouteHandler]:
    guards = [allow(Role.ADMIN)]

    @get(
        "/notifications/dead-letters",
        tags=_TAGS,
        summary="List parked messages, those parked last first",
        description="What could not be handled, why, and whether somebody has dealt with it. In pages with a total, or "
        "with `cursor` in stretches.",
        guards=guards,
        security=BEARER,
        responses=problems(*_PROBLEMS),
    )
    async def list_dead_letters(
        *,
        page: Annotated[int, QueryParameter(ge=1, description="Page number")] = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items per page")] = 20,
        standing: Annotated[  # Litestar keeps the name `state` for itself
            str | None,
            QueryParameter(name="state", description="Only in this state", schema_extra={"enum": list(State)}),
        ] = None,
        reason: Annotated[
            str | None, QueryParameter(max_length=LONGEST_REASON, description="Only with exactly this reason")
        ] = None,
        event_type: Annotated[
            str | None, QueryParameter(max_length=LONGEST_REASON, description="Only of this type")
        ] = None,
        order_id: Annotated[
            str | None, QueryParameter(description="Only about this order", schema_extra=UUID_TEXT)
        ] = None,
        parked_from: Annotated[
            str | None, QueryParameter(description="RFC 3339, inclusive", schema_extra=INSTANT_TEXT)
        ] = None,
        parked_to: Annotated[
            str | None, QueryParameter(description="RFC 3339, exclusive", schema_extra=INSTANT_TEXT)
        ] = None,
        cursor: Annotated[str | None, QueryParameter(description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)] = None,
    ) -> Page[DeadLetter] | Stretch[DeadLetter]:
        asked = DeadLetterFilter(reason, event_type, order_id, parked_from, parked_to)
        chosen = _chosen(asked, state=standing)
        if cursor is not None:
            way = f"dead letters {chosen}"
            found, end = await dead_letters.stretch(database, chosen, behind=resumed(cursor, way=way), limit=limit)
            return pages.stretch(found, way=way, end=end)
        found, total = await dead_letters.page(database, chosen, limit=limit, offset=pages.offset(page, limit))
        return pages.page(found, number=page, limit=limit, total_items=total)

    @get(
        "/notifications/dead-letters/{dead_letter_id:str}",
        tags=_TAGS,
        summary="Read a parked message",
        description="With its headers, the first 64 KiB of its body, and everything that was done about it.",
        guards=guards,
        security=BEARER,
        responses=problems(*_PROBLEMS, Kind.NOT_FOUND),
    )
    async def read_dead_letter(dead_letter_id: DeadLetterId) -> DeadLetterDetail:
        found = await dead_letters.detail(database, _id(dead_letter_id))
        if found is None:
            raise not_found("dead-letter")
        return found

    return [list_dead_letters, read_dead_letter]


def _actions(database: Database, replay: Replay, *, allow: Allow) -> list[HTTPRouteHandler]:
    guards = [allow(Role.ADMIN)]

    @post(
        "/notifications/dead-letters/replay",
        status_code=200,
        dto=json_body(ReplayDeadLetters),
        return_dto=None,
        opt={"sample": {"filter": {"reason": "provider_failed"}, "dry_run": True}},
        tags=_TAGS,
        summary="Have open messages handled again",
        description=f"Those that the filter lets through, oldest first, at most {MOST} a call: repeat it until "
        "`matched` is 0. An empty filter means all. Only what was not sent is sent, so that repeating it is safe. With "
        f"`dry_run` nothing happens, and `would_send` tells of the first {MOST_PREVIEWED} what would be sent.",
        guards=guards,
        security=BEARER,
        responses=problems(*_OF_BODY),
    )
    async def replay_dead_letters(data: JSONBody[ReplayDeadLetters], request: CallerRequest) -> ReplayedDeadLetters:
        chosen = _chosen(data.filter, prefix="filter.")
        if data.dry_run:
            matched, would_send = await dead_letters.dry_run(database, chosen)
            return ReplayedDeadLetters(matched, 0, would_send)
        matched, replayed = await replay.replay_matching(chosen, by=request.user.id, reason=data.reason)
        return ReplayedDeadLetters(matched, replayed)

    @post(
        "/notifications/dead-letters/{dead_letter_id:str}/replay",
        status_code=202,
        dto=json_body(ActOnDeadLetter),
        return_dto=None,
        opt={"sample": _SAMPLE},
        tags=_TAGS,
        summary="Have a parked message handled again",
        description="Its bytes go back to the queue they came from. Only what was not sent is sent, so that repeating "
        "it is safe; what was replayed or discarded before can be replayed, too.",
        guards=guards,
        security=BEARER,
        responses=problems(*_OF_BODY, Kind.NOT_FOUND, Kind.CONFLICT),
    )
    async def replay_dead_letter(
        dead_letter_id: DeadLetterId, request: CallerRequest, data: JSONBody[ActOnDeadLetter | None] = None
    ) -> Response[None]:
        await replay.replay(_id(dead_letter_id), by=request.user.id, reason=_reason(data))
        return Response(None, status_code=202)

    @post(
        "/notifications/dead-letters/{dead_letter_id:str}/discard",
        status_code=204,
        dto=json_body(ActOnDeadLetter),
        return_dto=None,
        opt={"sample": {"reason": "a test order"}},
        tags=_TAGS,
        summary="Discard a parked message",
        description="It stays in the list, as `discarded`. May be repeated; 409 for one that was replayed.",
        guards=guards,
        security=BEARER,
        responses=problems(*_OF_BODY, Kind.NOT_FOUND, Kind.CONFLICT),
    )
    async def discard_dead_letter(
        dead_letter_id: DeadLetterId, request: CallerRequest, data: JSONBody[ActOnDeadLetter | None] = None
    ) -> None:
        await discard.discard(database, _id(dead_letter_id), by=request.user.id, reason=_reason(data))

    return [replay_dead_letters, replay_dead_letter, discard_dead_letter]


def _reason(data: ActOnDeadLetter | None) -> str | None:
    return None if data is None else data.reason


def _id(text: str) -> UUID:
    found = identifier(text)
    if found is None:
        raise invalid(FieldError("id", "must be a UUID"))
    return found


def _chosen(asked: DeadLetterFilter, *, state: str | None = None, prefix: str = "") -> Filter:
    """What was asked for, as the statements take it.

    Raises:
        Problem: of kind invalid, naming each text that is no id or no instant.
    """
    errors = [] if state is None or state in {*State} else [FieldError("state", f"must be {' or '.join(State)}")]
    if asked.order_id is not None and identifier(asked.order_id) is None:
        errors.append(FieldError(f"{prefix}order_id", "must be a UUID"))
    instants: dict[str, datetime | None] = {}
    for name in ("parked_from", "parked_to"):
        text = getattr(asked, name)
        try:
            instants[name] = None if text is None else instant(text).astimezone(UTC)
        except (ValueError, OverflowError):
            errors.append(FieldError(f"{prefix}{name}", "must be an RFC 3339 timestamp with an offset"))
    if errors:
        raise invalid(*errors)
    return Filter(
        state=state,
        reason=asked.reason,
        event_type=asked.event_type,
        order_id=UUID(asked.order_id) if asked.order_id else None,
        parked_from=instants["parked_from"],
        parked_before=instants["parked_to"],
    )
