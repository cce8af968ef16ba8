"""What can be wrong between an order's event and its customer, judged from what both services say of it. Pure."""

from enum import StrEnum
from typing import Final

import msgspec

from shopflow.contracts.events import EventType
from shopflow.contracts.fields import timestamp
from shopflow.notifications.fate import Fate
from shopflow.notifications.fates import Told
from shopflow.orders.announcements import Owed, Standing


class What(StrEnum):
    """What is wrong with an event of which a customer did not hear."""

    EVENT_MISSING = "event-missing"
    """It is neither in the outbox nor on record: lost before it went out, or longer ago than the outbox keeps."""
    EVENT_WAITING = "event-waiting"
    """It is in the outbox, and was not published: the relay or the broker does not do its work."""
    EVENT_UNHEARD = "event-unheard"
    """It was published, and is not on record: the broker lost it, or has a long queue."""
    NOTIFICATION_UNFINISHED = "notification-unfinished"
    """It is on record, and a notification is queued that nobody works on."""
    PARKED = "parked"
    """It was put aside for a reason, and an operator is asked."""


REPAIRABLE: Final = frozenset({What.EVENT_MISSING, What.EVENT_UNHEARD, What.NOTIFICATION_UNFINISHED})
"""What announcing the event again puts right."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of which its customer did not hear, or not on every channel; `since` is when it came about."""

    order_id: str
    event_type: EventType
    event_id: str
    since: str
    found: What
    repaired: bool = False
    reason: str | None = None
    dead_letter_id: str | None = None


def judged(owed: Owed, told: Told, standing: Standing | None) -> Finding | None:
    """What is wrong with an event, from both sides; None when it is under way.

    Args:
        owed: the event that the order calls for.
        told: what became of it at notification-service.
        standing: where it is in the outbox; None when it is not there.
    """
    found = _what(told.fate, standing)
    if found is None:
        return None
    parked = told.letter if found is What.PARKED else None
    return Finding(
        order_id=str(owed.order_id),
        event_type=owed.event_type,
        event_id=str(told.event_id or (standing.event_id if standing else owed.event_id)),
        since=timestamp(owed.since),
        found=found,
        reason=parked.reason if parked else None,
        dead_letter_id=str(parked.id) if parked else None,
    )


def _what(fate: Fate, standing: Standing | None) -> What | None:
    if fate is Fate.PARKED:
        return What.PARKED
    if fate in (Fate.SETTLED, Fate.UNDER_WAY) or (standing is not None and standing.recent):
        return None
    if standing is not None and standing.waiting:
        return What.EVENT_WAITING
    if fate is Fate.UNFINISHED:
        return What.NOTIFICATION_UNFINISHED
    return What.EVENT_MISSING if standing is None else What.EVENT_UNHEARD
