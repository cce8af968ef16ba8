"""The list of orders over HTTP: one's own, and for admins whoever's they look for."""

from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.orders import Status
from shopflow.kit import pages
from shopflow.kit.answers import problems
from shopflow.kit.openapi import BEARER
from shopflow.kit.pages import Page, Stretch
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import Kind
from shopflow.orders import lists
from shopflow.orders.bodies import OrderSummary
from shopflow.orders.listing import Asked, Direction, SortBy, bearing, narrowed
from shopflow.orders.routes.parameters import (
    PEOPLE,
    TAGS,
    CreatedFrom,
    CreatedTo,
    Cursor,
    IdPrefix,
    PageNumber,
    PageSize,
    Scope,
    UserId,
)


def routes(database: Connection, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handler of the list."""

    @get(
        "/orders",
        guards=[allow(*PEOPLE)],
        security=BEARER,
        tags=TAGS,
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

    return [list_orders]
