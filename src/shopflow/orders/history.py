"""The history of an order: which state it came to, when, by whom and why. Pure; entries are only ever added.

Each entry is sealed by a hash over the entry before it and all of its own fields, so that whoever changes, drops or
slips in one has to change every later one too, and what is kept elsewhere tells on him.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from shopflow.contracts.identity import Caller
from shopflow.contracts.orders import Status

START: Final = bytes(32)
"""What stands for the hash before an order's first entry."""

_FORMAT: Final = b"shopflow order history 1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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


def sealed(previous: bytes, order_id: UUID, entry: Entry) -> bytes:
    """The hash of an entry: SHA-256 over the format's name, the hash before, and every field behind its length.

    The lengths make it injective: no two different entries are written alike. The migration `orders_0003` says the same
    in SQL.

    Args:
        previous: the hash of the order's entry before this one, `START` for the first.
        order_id: whose entry it is, so that no chain can be moved to another order.
        entry: the entry; its instant counts in microseconds.
    """
    fields = (
        str(order_id),
        entry.source,
        entry.target,
        entry.actor_id,
        entry.actor_role,
        entry.reason,
        entry.trace_id,
        str((entry.at - _EPOCH) // _MICROSECOND),
    )
    return sha256(b"".join((_FORMAT, previous, *map(_written, fields)))).digest()


def _written(text: str | None) -> bytes:
    if text is None:
        return b"\0"
    raw = text.encode()
    return b"\1" + len(raw).to_bytes(4, "big") + raw
