"""What the history of an order must hold, and in which ways it can be broken. Pure.

What was stored is looked at as texts: somebody who may change the tables may have put anything there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID

from shopflow.contracts.orders import Status
from shopflow.orders.history import START, Entry, sealed

_LIFE: Final = tuple(Status)


class Rule(StrEnum):
    """What can be wrong with one order."""

    ORDER_MISSING = "order-missing"
    """There is a history, and no order."""
    HISTORY_MISSING = "history-missing"
    """There is an order, and no history."""
    ENTRY_MISSING = "entry-missing"
    """There is a later entry, and not the one before it."""
    ENTRY_UNKNOWN = "entry-unknown"
    """There is an entry of a state that is none, or two of one state."""
    HASH_DIFFERS = "hash-differs"
    """An entry, or one before it, is not what was written."""
    TIME_GOES_BACK = "time-goes-back"
    """An entry is earlier than the one before it."""
    STATUS_DIFFERS = "status-differs"
    """The order is in another state than its last entry says."""
    TIMES_DIFFER = "times-differ"
    """The order's timestamps are not those of its entries."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stored entry with its stored hash; the states in it may be no states."""

    entry: Entry
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an order says of its own life."""

    status: str
    created_at: datetime
    confirmed_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is stored about one order's life; no standing when the order is gone."""

    order_id: UUID
    standing: Standing | None
    links: Sequence[Link]


def path(evidence: Evidence) -> list[Link]:
    """The links of the known states, first to last, one of each."""
    by_state = {link.entry.target: link for link in evidence.links}
    return [by_state[state] for state in _LIFE if state in by_state]


def breaks(evidence: Evidence) -> Iterator[Rule]:
    """Which rules are broken, each once; nothing when all is as it was written."""
    if evidence.standing is None:
        yield Rule.ORDER_MISSING
    links = path(evidence)
    if len(links) < len(evidence.links):
        yield Rule.ENTRY_UNKNOWN
    if not links:
        yield Rule.HISTORY_MISSING
        return
    if [link.entry.target for link in links] != list(_LIFE[: len(links)]):
        yield Rule.ENTRY_MISSING
    if not _holds(evidence.order_id, links):
        yield Rule.HASH_DIFFERS
    times = [link.entry.at for link in links]
    if times != sorted(times):
        yield Rule.TIME_GOES_BACK
    if evidence.standing is not None:
        yield from _disagreements(evidence.standing, links)


def head(evidence: Evidence, *, until: datetime) -> bytes | None:
    """The hash of the last entry that is not later than an instant; None when there was none yet."""
    before = [link.hash for link in path(evidence) if link.entry.at <= until]
    return before[-1] if before else None


class Digest:
    """One digest over the heads of many chains: the same for the same orders, told in the order of their ids."""

    def __init__(self) -> None:
        self._state = sha256(b"shopflow order heads 1")

    def add(self, order_id: UUID, hash_: bytes) -> None:
        """Takes in one head."""
        self._state.update(order_id.bytes + len(hash_).to_bytes(4, "big") + hash_)

    def text(self) -> str:
        """The digest of what was taken in so far, as 64 hexadecimal digits."""
        return self._state.hexdigest()


def _holds(order_id: UUID, links: Sequence[Link]) -> bool:
    previous = START
    for link in links:
        if sealed(previous, order_id, link.entry) != link.hash:
            return False
        previous = link.hash
    return True


def _disagreements(standing: Standing, links: Sequence[Link]) -> Iterator[Rule]:
    last = links[-1].entry
    if standing.status != last.target:
        yield Rule.STATUS_DIFFERS
    at = {link.entry.target: link.entry.at for link in links}
    told = (standing.created_at, standing.confirmed_at, standing.shipped_at, standing.delivered_at)
    if told != tuple(at.get(state) for state in _LIFE) or standing.updated_at != last.at:
        yield Rule.TIMES_DIFFER
