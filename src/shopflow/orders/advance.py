"""Advances an order by one state: compare and set, with its history and its event in the same statement.

The state that was read decides what to try, the state in the row decides what happens: of several admins one wins.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from shopflow.contracts.events import EventType
from shopflow.contracts.fields import timestamp
from shopflow.contracts.identity import Caller
from shopflow.kit import traces
from shopflow.kit.conditional import IfMatch
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import not_found
from shopflow.orders import announcement, history, order, store
from shopflow.orders.announcement import Announcement
from shopflow.orders.bodies import AdvancedOrder, AdvanceOrder
from shopflow.orders.order import Step
from shopflow.orders.store import Standing


async def advance(
    connection: Connection,
    order_id: UUID,
    body: AdvanceOrder,
    *,
    caller: Caller,
    condition: IfMatch | None,
    now: datetime,
    wake: Callable[[], None],
) -> AdvancedOrder:
    """The order's new state and the timestamp that it set.

    Args:
        connection: the database; each statement is its own transaction.
        order_id: which order.
        body: which state, and why.
        caller: who does it; the role has been checked.
        condition: in which state the caller believes the order to be; it holds at the moment of the transition.
        now: the instant; an order's timestamps never go backwards, so an earlier one than its last change is raised.
        wake: tells the relay that there is something to publish.

    Raises:
        Problem: not found; a precondition failed; a conflict when it is in that state already; invalid for every other
            forbidden transition.
    """
    while True:  # a lost race means that the order moved on, and there are only so many states
        standing = await store.standing(connection, order_id)
        if standing is None:
            raise not_found("order")
        if condition is not None:
            condition.demand(order.tag(standing.status))
        step = order.step(standing.status, body.status)
        at = max(now, standing.updated_at)
        announced = _announced(step, standing, order_id=order_id, at=at)
        entry = history.entry(
            step.source, step.target, caller=caller, trace_id=traces.trace_id(), at=at, reason=body.reason
        )
        if await store.advance(
            connection, order_id, entry=entry, previous=standing.hash, announced=announced, headers=traces.carried()
        ):
            break
    if announced:
        wake()
    shown = timestamp(at)
    return AdvancedOrder(id=str(order_id), status=step.target, updated_at=shown, **{step.stamp: shown})


def _announced(step: Step, standing: Standing, *, order_id: UUID, at: datetime) -> Announcement | None:
    if step.announces is not EventType.ORDER_SHIPPED:
        return None
    return announcement.shipped(
        order_id,
        standing.user_id,
        address=standing.address,
        shipped_at=timestamp(at),
        event_id=announcement.event_id(order_id, step.announces),
    )
