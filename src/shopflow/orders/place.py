"""Places an order: stores it with its history and its event in one statement, then wakes the relay.

The instant comes from the caller, not from the database, because the event's bytes have to name the very instant that
the row gets, and one statement cannot hand it out before it takes them. A broker that is down changes nothing here.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from shopflow.contracts.fields import timestamp
from shopflow.contracts.identity import Caller
from shopflow.contracts.orders import Order, Status
from shopflow.kit import traces
from shopflow.kit.postgres import Connection
from shopflow.orders import announcement, history, order, store
from shopflow.orders.bodies import PlaceOrder


async def place(
    connection: Connection,
    body: PlaceOrder,
    *,
    caller: Caller,
    order_id: UUID,
    event_id: UUID,
    now: datetime,
    wake: Callable[[], None],
) -> Order:
    """The order as it was stored.

    Args:
        connection: the database; the one statement is its own transaction.
        body: a placement that has passed all rules.
        caller: whose order it is.
        order_id: the new order's id.
        event_id: the id of its OrderCreated.
        now: its `created_at`.
        wake: tells the relay that there is something to publish.

    Raises:
        Problem: of kind unavailable; then it is not known whether the order was stored.
    """
    placed = order.placed(
        order_id=order_id,
        user_id=caller.user_id,
        lines=body.lines,
        address=body.address,
        currency=body.currency,
        notes=body.notes,
        created_at=timestamp(now),
    )
    await store.place(
        connection,
        placed,
        entry=history.entry(None, Status.PENDING, caller=caller, trace_id=traces.trace_id(), at=now),
        announced=announcement.created(placed, event_id=event_id),
        headers=traces.carried(),
    )
    wake()
    return placed
