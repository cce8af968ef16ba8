"""Placing and advancing orders over HTTP. Asks the clock and rolls the ids; decides nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

from litestar import Response, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from shopflow.clients.guards import Allow, CallerRequest
from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Order, Status
from shopflow.kit import conditional
from shopflow.kit.answers import JsonBody, JsonResponse, json_body, problems
from shopflow.kit.metrics import Metrics
from shopflow.kit.openapi import BEARER
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import Kind
from shopflow.orders import advance, idempotency, place
from shopflow.orders import order as orders
from shopflow.orders.bodies import PLACE_ORDER_SAMPLE, AdvancedOrder, AdvanceOrder, PlaceOrder, PlaceOrderDecoder
from shopflow.orders.routes.parameters import (
    ETAG,
    PEOPLE,
    REPLAYED,
    TAGS,
    IdempotencyKey,
    IfMatch,
    OrderId,
    named,
)


class _PlaceOrderBody(JsonBody[PlaceOrder]):
    decoder = PlaceOrderDecoder()


def routes(database: Connection, *, allow: Allow, wake: Callable[[], None], metrics: Metrics) -> list[HTTPRouteHandler]:
    """The handlers of what changes orders."""
    placed = metrics.counter("orders_placed_total", "Orders that were placed.")
    replayed = metrics.counter("orders_replayed_total", "Placements that were answered from an earlier one's key.")
    transitions = metrics.counter("order_transitions_total", "Transitions of orders.", ("to",))
    advanced = {status: transitions.labels(status) for status in Status}

    @post(
        "/orders",
        dto=_PlaceOrderBody,
        return_dto=None,
        guards=[allow(*PEOPLE)],
        security=BEARER,
        opt={"sample": PLACE_ORDER_SAMPLE},
        tags=TAGS,
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
        tags=TAGS,
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
        wanted = named(order_id)
        condition = None if if_match is None else conditional.if_match(request.headers.getall("If-Match"))
        answer = await advance.advance(
            database,
            wanted,
            data,
            caller=request.user,
            condition=condition,
            now=datetime.now(UTC),
            wake=wake,
        )
        advanced[answer.status].inc()
        return JsonResponse(answer, headers={"ETag": orders.tag(answer.status)})

    return [place_order, advance_order]
