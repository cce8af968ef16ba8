"""The HTTP face of order-service: PRD 4.2 and the history. Asks the clock and rolls the ids; decides nothing."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar, cast
from uuid import UUID, uuid4

from litestar import Response, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Order, Status
from shopflow.kit import conditional, pages
from shopflow.kit.answers import JsonBody, JsonResponse, json_body, problems
from shopflow.kit.metrics import Metrics
from shopflow.kit.openapi import BEARER
from shopflow.kit.pages import Page, Position, Stretch
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import FieldError, Kind, forbidden, invalid, not_found
from shopflow.orders import advance, history, idempotency, lists, place, store
from shopflow.orders import order as orders
from shopflow.orders.bodies import (
    PLACE_ORDER_SAMPLE,
    AdvancedOrder,
    AdvanceOrder,
    OrderForPeople,
    OrderSummary,
    Passage,
    PassageForAdmins,
    PlaceOrder,
    PlaceOrderDecoder,
)
from shopflow.orders.listing import Asked, Direction, SortBy, bearing, narrowed
from shopflow.orders.parameters import (
    ETAG,
    REPLAYED,
    CreatedFrom,
    CreatedTo,
    Cursor,
    IdempotencyKey,
    IdPrefix,
    IfMatch,
    OrderId,
    PageNumber,
    PageSize,
    Scope,
    UserId,
)

P = TypeVar("P", bound=Passage)

_TAGS: Final = ["Orders"]
_PEOPLE: Final = (Role.CUSTOMER, Role.ADMIN)


class _PlaceOrderBody(JsonBody[PlaceOrder]):
    decoder = PlaceOrderDecoder()


def routes(database: Connection, *, allow: Allow, wake: Callable[[], None], metrics: Metrics) -> list[HTTPRouteHandler]:
    """The handlers of order-service.

    Args:
        database: where orders are.
        allow: makes the guards that find out who is calling.
        wake: tells the relay that there is something to publish.
        metrics: counts what was placed and advanced.
    """
    return [
        *_writes(database, allow=allow, wake=wake, metrics=metrics),
        *_reads(database, allow=allow),
        _list(database, allow=allow),
    ]


def _writes(
    database: Connection, *, allow: Allow, wake: Callable[[], None], metrics: Metrics
) -> Sequence[HTTPRouteHandler]:
    placed = metrics.counter("orders_placed_total", "Orders that were placed.")
    replayed = metrics.counter("orders_replayed_total", "Placements that were answered from an earlier one's key.")
    transitions = metrics.counter("order_transitions_total", "Transitions of orders.", ("to",))
    advanced = {status: transitions.labels(status) for status in Status}

    @post(
        "/orders",
        dto=_PlaceOrderBody,
        return_dto=None,
        guards=[allow(*_PEOPLE)],
        security=BEARER,
        opt={"sample": PLACE_ORDER_SAMPLE},
        tags=_TAGS,
        summary="Place an order",
        description="Subtotals and the total are computed here, exactly; the new order is `pending` and the caller's.",
        response_headers=[ETAG, REPLAYED],
        responses=problems(
            Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.CONFLICT, Kind.TOO_LARGE, Kind.UNSUPPORTED_TYPE,
            Kind.UNPROCESSABLE,
        ),
    )  # fmt: skip
    async def place_order(
        data: JSONBody[PlaceOrder], request: CallerRequest, idempotency_key: IdempotencyKey = None
    ) -> Response[Order]:
        key = None
        if idempotency_key is not None:
            key = idempotency.key(request.headers.getall(idempotency.HEADER), await request.body())
        answer = await place.place(
            database,
            data,
            caller=request.user,
            key=key,
            order_id=uuid4(),
            event_id=uuid4(),
            now=datetime.now(UTC),
            wake=wake,
        )
        (replayed if answer.replayed else placed).inc()
        headers = {"ETag": orders.tag(Status.PENDING)}
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        return JsonResponse(cast("Order", answer.body), headers=headers)  # as the bytes that it is already

    @patch(
        "/orders/{order_id:str}/status",
        dto=json_body(AdvanceOrder),
        return_dto=None,
        guards=[allow(Role.ADMIN)],
        security=BEARER,
        opt={"sample": {"status": "confirmed", "reason": "paid"}},
        tags=_TAGS,
        summary="Bring an order to its next state",
        description="pending → confirmed → shipped → delivered, one step at a time (admins only). "
        "400 for every other step, 409 when the order is in that state already.",
        response_headers=[ETAG],
        responses=problems(
            Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.CONFLICT,
            Kind.PRECONDITION_FAILED, Kind.UNSUPPORTED_TYPE,
        ),
    )  # fmt: skip
    async def advance_order(
        order_id: OrderId, data: JSONBody[AdvanceOrder], request: CallerRequest, if_match: IfMatch = None
    ) -> Response[AdvancedOrder]:
        wanted = _order_id(order_id)
        condition = None if if_match is None else conditional.if_match(request.headers.getall("If-Match"))
        answer = await advance.advance(
            database,
            wanted,
            data,
            caller=request.user,
            condition=condition,
            event_id=uuid4(),
            now=datetime.now(UTC),
            wake=wake,
        )
        advanced[answer.status].inc()
        return JsonResponse(answer, headers={"ETag": orders.tag(answer.status)})

    return [place_order, advance_order]


def _reads(database: Connection, *, allow: Allow) -> Sequence[HTTPRouteHandler]:
    @get(
        "/orders/{order_id:str}",
        guards=[allow(*Role)],
        security=BEARER,
        tags=_TAGS,
        summary="Read an order",
        description="Its owner, admins and services may. People also get `allowed_transitions`: the states to which "
        "this caller may bring the order now.",
        response_headers=[ETAG],
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
    )
    async def read_order(order_id: OrderId, request: CallerRequest) -> Response[OrderForPeople | Order]:
        order = await store.order(database, _order_id(order_id))
        if order is None:
            raise not_found("order")
        _must_be_readable(request.user, UUID(order.user_id))
        shown = order if request.user.is_service else OrderForPeople.of(order, request.user.role)
        return JsonResponse(shown, headers={"ETag": orders.tag(order.status)})

    @get(
        "/orders/{order_id:str}/history",
        guards=[allow(*_PEOPLE)],
        security=BEARER,
        tags=_TAGS,
        summary="Read an order's history",
        description="Oldest first. Its owner sees states and times, admins also who and why.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
    )
    async def read_history(
        order_id: OrderId,
        request: CallerRequest,
        page: PageNumber = 1,
        limit: PageSize = 20,
        cursor: Cursor = None,
    ) -> Page[PassageForAdmins] | Page[Passage] | Stretch[PassageForAdmins] | Stretch[Passage]:
        found = await store.history(database, _order_id(order_id))
        if found is None:
            raise not_found("order")
        owner, entries = found
        _must_be_readable(request.user, owner)
        shown = PassageForAdmins if request.user.is_admin else Passage
        data = [shown.of(each) for each in history.in_order(entries)]
        if cursor is not None:
            return _stretch(data, cursor, order_id=UUID(order_id), limit=limit)
        first = pages.offset(page, limit)
        return pages.page(data[first : first + limit], number=page, limit=limit, total_items=len(data))

    return [read_order, read_history]


def _list(database: Connection, *, allow: Allow) -> HTTPRouteHandler:
    @get(
        "/orders",
        guards=[allow(*_PEOPLE)],
        security=BEARER,
        tags=_TAGS,
        summary="List orders",
        description="The caller's own orders. Admins may ask for another user's with `user_id`, or for everybody's "
        "with `scope=all`, and narrow that by the beginning of the id and by the time of creation. In pages with a "
        "total, or with `cursor` in stretches that new orders do not shift.",
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN),
    )
    async def list_orders(
        request: CallerRequest,
        *,
        page: PageNumber = 1,
        limit: PageSize = 20,
        status: Annotated[Status | None, QueryParameter(description="Only orders in this state.")] = None,
        sort_by: Annotated[SortBy, QueryParameter(description="Ties are broken by id.")] = SortBy.CREATED_AT,
        sort_dir: Annotated[Direction, QueryParameter()] = Direction.DESC,
        user_id: UserId = None,
        whose: Scope = None,
        id_prefix: IdPrefix = None,
        created_from: CreatedFrom = None,
        created_to: CreatedTo = None,
        cursor: Cursor = None,
    ) -> Page[OrderSummary] | Stretch[OrderSummary]:
        asked = Asked(
            user_id=user_id, scope=whose, id_prefix=id_prefix, created_from=created_from, created_to=created_to
        )
        wanted = narrowed(request.user, status, asked)
        if cursor is not None:
            at = bearing(cursor, wanted, sort_by=sort_by, direction=sort_dir)
            rows, end = await lists.stretch(database, wanted, at, sort_by=sort_by, direction=sort_dir, limit=limit)
            return pages.stretch(rows, way=at.way, end=end)
        total, data = await lists.page(database, wanted, sort_by=sort_by, direction=sort_dir, number=page, limit=limit)
        return pages.page(data, number=page, limit=limit, total_items=total)

    return list_orders


def _stretch(data: list[P], cursor: str, *, order_id: UUID, limit: int) -> Stretch[P]:
    """A stretch of a history: entries are only ever added, so the last one's place in it says where to go on."""
    way = f"history {order_id}"
    behind = pages.resumed(cursor, way=way)
    first = 0 if behind is None else _place(behind.value)
    last = first + limit
    end = Position(str(last), order_id) if last < len(data) else None
    return pages.stretch(data[first:last], way=way, end=end)


def _place(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text) is None:
        raise pages.not_of_this_list()
    return int(text)


def _order_id(text: str) -> UUID:
    """The id in a path (R43)."""
    found = identifier(text)
    if found is None:
        raise invalid(FieldError("id", "must be a UUID"))
    return found


def _must_be_readable(caller: Caller, owner: UUID) -> None:
    if not orders.may_read(caller, owner):
        raise forbidden("This order is somebody else's.")
