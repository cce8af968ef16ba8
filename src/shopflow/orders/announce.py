"""Announces anew what customers have not heard of: the same events, ids and bytes, for the relay to publish.

Safe to repeat: an event that waits or went out a moment ago is left alone, and whoever has handled it knows its id.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from shopflow.kit.postgres import Connection
from shopflow.orders import announcement, announcements, store
from shopflow.orders.announcement import Announcement
from shopflow.orders.announcements import Lost

_AT_ONCE: Final = 100  # orders have up to a MiB


async def announce(connection: Connection, lost: Sequence[Lost], *, by: str, older_than: float) -> set[UUID]:
    """The ids of the events that were put into the outbox.

    Not those that wait there, are too young, or belong to no order.

    Args:
        connection: the database; each hundred events are a transaction of their own.
        lost: the events.
        by: who does it, for the rows that this leaves.
        older_than: seconds since an event was published last, from which on it may be published again.

    Raises:
        Problem: of kind unavailable; what was done until then stands.
    """
    announced: set[UUID] = set()
    for start in range(0, len(lost), _AT_ONCE):
        written = await _written(connection, lost[start : start + _AT_ONCE])
        announced |= await announcements.announce(connection, written, by=by, older_than=older_than)
    return announced


async def _written(connection: Connection, lost: Sequence[Lost]) -> list[tuple[Lost, Announcement]]:
    orders = await store.orders(connection, [each.order_id for each in lost])
    written = []
    for each in lost:
        order = orders.get(each.order_id)
        announced = order and announcement.anew(order, each.event_type, event_id=each.event_id)
        if announced:
            written.append((each, announced))
    return written
