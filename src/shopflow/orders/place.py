"""Places an order: stores it with its history and its event in one statement, then wakes the relay.

The instant comes from the caller, not from the database, because the event's bytes have to name the very instant that
the row gets, and one statement cannot hand it out before it takes them. A broker that is down changes nothing here.
With an idempotency key the answer is kept by that same statement, so that no crash can come between the two (B1).
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shopflow.contracts.events import EventType
from shopflow.contracts.fields import timestamp
from shopflow.contracts.identity import Caller
from shopflow.contracts.orders import Status
from shopflow.kit import traces
from shopflow.kit.encoding import encoded
from shopflow.kit.postgres import Connection, LockTimedOut
from shopflow.kit.problems import Kind, Problem, conflict
from shopflow.orders import announcement, history, order, placements
from shopflow.orders.bodies import PlaceOrder
from shopflow.orders.idempotency import Key
from shopflow.orders.placements import Kept


class Placed(NamedTuple):
    """The answer to a placement: the order as JSON; `replayed` when it was given before, under the same key."""

    body: bytes
    replayed: bool


async def place(
    connection: Connection,
    body: PlaceOrder,
    *,
    caller: Caller,
    key: Key | None,
    order_id: UUID,
    now: datetime,
    wake: Callable[[], None],
) -> Placed:
    """The order as it was stored.

    Args:
        connection: the database; the one statement is its own transaction.
        body: a placement that has passed all rules.
        caller: whose order it is.
        key: makes one order of however many requests come with it.
        order_id: the new order's id.
        now: its `created_at`.
        wake: tells the relay that there is something to publish.

    Raises:
        Problem: of kind unavailable; then it is not known whether the order was stored. With a key also: unprocessable
            when another body came with it before, a conflict when the first request is still on its way.
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
    entry = history.entry(None, Status.PENDING, caller=caller, trace_id=traces.trace_id(), at=now)
    announced = announcement.created(placed, event_id=announcement.event_id(order_id, EventType.ORDER_CREATED))
    headers, answer = traces.carried(), encoded(placed)
    if key is None:
        await placements.place(connection, placed, entry=entry, announced=announced, headers=headers)
        wake()
        return Placed(answer, replayed=False)
    while True:
        try:
            stored = await placements.place_once(
                connection, placed, entry=entry, announced=announced, headers=headers, key=key, answer=answer
            )
        except LockTimedOut:
            raise _in_flight() from None
        if stored:
            wake()
            return Placed(answer, replayed=False)
        if (kept := await placements.kept(connection, caller.user_id, key)) is not None:
            return _replayed(kept, key)  # None: its day ended in between, so it is free now


def _replayed(kept: Kept, key: Key) -> Placed:
    if kept.fingerprint != key.fingerprint:
        raise Problem(
            Kind.UNPROCESSABLE, "idempotency-key-reused", "Another body came with this key before; take a new key."
        )
    return Placed(kept.answer, replayed=True)


def _in_flight() -> Problem:
    return conflict("idempotency-key-in-flight", "The first request with this key is still on its way.", retry_after=1)
