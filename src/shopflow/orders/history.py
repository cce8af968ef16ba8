"""The history of an order: which state it came to, when, by whom and why. Pure; entries are only ever added."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shopflow.contracts.identity import Caller
from shopflow.contracts.orders import Status


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One transition. `source` is None for the placing of the order."""

    source: Status | None
    target: Status
    actor_id: str
    actor_role: str
    reason: str | None
    trace_id: str | None
    at: datetime


def entry(
    source: Status | None,
    target: Status,
    *,
    caller: Caller,
    trace_id: str | None,
    at: datetime,
    reason: str | None = None,
) -> Entry:
    """The entry that a transition of this caller leaves."""
    return Entry(
        source=source,
        target=target,
        actor_id=caller.id,
        actor_role=caller.role,
        reason=reason,
        trace_id=trace_id,
        at=at,
    )


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries from the first to the last: an order passes each state once, so the states' order is the history's."""
    life = list(Status)
    return sorted(entries, key=lambda each: life.index(each.target))
