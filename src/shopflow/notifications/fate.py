"""What became of an event, as far as somebody may have to do something about it. Pure."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from shopflow.notifications.parking import State


class Fate(StrEnum):
    """What became of an event.

    SETTLED: every notification is sent or failed for a reason, there was no recipient, or an operator discarded it.
    UNDER_WAY: somebody has it, or had it a moment ago. UNHEARD: it is not on record. UNFINISHED: it is on record, and a
    notification is queued that nobody works on. PARKED: it was put aside, and an operator is asked.
    """

    SETTLED = "settled"
    UNDER_WAY = "under_way"
    UNHEARD = "unheard"
    UNFINISHED = "unfinished"
    PARKED = "parked"


class Letter(NamedTuple):
    """A parked message about an event; `recent`: it was parked or replayed a moment ago."""

    id: UUID
    state: str
    reason: str
    recent: bool


class Record(NamedTuple):
    """An event on record: how many of its notifications are queued, and whether one was worked on a moment ago."""

    event_id: UUID
    queued: int
    recent: bool


def judged(record: Record | None, letter: Letter | None) -> Fate:
    """What an event's record and its parked message say together; None where there is none."""
    if record is not None and not record.queued:
        return Fate.SETTLED
    if letter is not None and letter.state == State.OPEN:
        return Fate.PARKED
    if letter is not None and letter.state == State.DISCARDED:
        return Fate.SETTLED
    if (letter is not None and letter.recent) or (record is not None and record.recent):
        return Fate.UNDER_WAY
    return Fate.UNHEARD if record is None else Fate.UNFINISHED
