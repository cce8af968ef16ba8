"""Reading one order and its history over HTTP."""

import re
from typing import TypeVar
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Order
from shopflow.kit import pages
from shopflow.kit.answers import JsonResponse, problems
from shopflow.kit.openapi import BEARER
from shopflow.kit.pages import Page, Position, Stretch
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import Kind, forbidden, not_found
from shopflow.orders import history, store
from shopflow.orders import order as orders
from shopflow.orders.bodies import OrderForPeople, Passage, PassageForAdmins
from shopflow.orders.routes.parameters import ETAG, PEOPLE, TAGS, Cursor, OrderId, PageNumber, PageSize, named

P = TypeVar("P", bound=Passage)


def routes(database: Connection, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers of what is read of one order."""

    @get(
        "/orders/{order_id:str}",
        guards=[allow(*Role)],
        security=BEARER,
        tags=TAGS,
        summary="Read an order",
        description="Its owner, admins and services may. People also get `allowed_transitions`: the states to which "
        "this caller may bring the order now.",
        response_headers=[ETAG],
        responses=problems(Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND),
    )
    async def read_order(order_id: OrderId, request: CallerRequest) -> Response[OrderForPeople | Order]:
        order = await store.order(database, named(order_id))
        if order is None:
            raise not_found("order")
        _must_be_readable(request.user, UUID(order.user_id))
        shown = order if request.user.is_service else OrderForPeople.of(order, request.user.role)
        return JsonResponse(shown, headers={"ETag": orders.tag(order.status)})

    @get(
        "/orders/{order_id:str}/history",
        guards=[allow(*PEOPLE)],
        security=BEARER,
        tags=TAGS,
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
        found = await store.history(database, named(order_id))
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


def _must_be_readable(caller: Caller, owner: UUID) -> None:
    if not orders.may_read(caller, owner):
        raise forbidden("This order is somebody else's.")
