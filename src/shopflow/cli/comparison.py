"""Compares what orders call for with what their customers were told, by each service's own code on its own database.

Only ids travel between the two (R78). Works a batch of orders at a time, so that a run over millions holds no lock, no
snapshot, and no more memory than one over a thousand. Prints nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from shopflow.cli.finding import REPAIRABLE, Finding, What, judged
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import Problem
from shopflow.notifications import dead_letters, fates
from shopflow.orders import announcements
from shopflow.orders.announce import announce
from shopflow.orders.announcements import Lost, Owed

BATCH: Final = 1000
"""Orders that are looked at together."""

_FIRST: Final = UUID(int=0)
_LAST: Final = 2**128


class Sum(msgspec.Struct, frozen=True):
    """A whole run: how many orders and events were looked at, what was found, how much of it was announced again."""

    orders: int
    events: int
    found: dict[What, int]
    repaired: int

    @property
    def left(self) -> int:
        """How many findings still are."""
        return sum(self.found.values()) - self.repaired


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is looked at: one order or all, since when, how many seconds old it is at least.

    `repair_by` is who has it announced again; None: it is only told.
    """

    order_id: UUID | None = None
    since: datetime | None = None
    older_than: float
    repair_by: str | None = None


class NotReadable(Exception):
    """A service's database cannot be asked; the text says which, and why."""


class NoSuchOrder(Exception):
    """There is no order with the id that was asked for."""


class Comparison:
    """One run.

    Args:
        orders: order-service's database.
        notifications: notification-service's.
        asked: what is looked at.
        found: is told each finding, in the order of the orders' ids.
        progress: is told after each batch how many orders are done, and which share of all that is about.
        batch: orders that are looked at together.
    """

    def __init__(
        self,
        orders: Connection,
        notifications: Connection,
        asked: Asked,
        *,
        found: Callable[[Finding], None],
        progress: Callable[[int, float], None],
        batch: int = BATCH,
    ) -> None:
        self._orders = orders
        self._notifications = notifications
        self._asked = asked
        self._found = found
        self._progress = progress
        self._batch = batch
        self._seen: Counter[What] = Counter()
        self._repaired = 0

    async def run(self) -> Sum:
        """Looks at everything that was asked for.

        Raises:
            NotReadable: at any time; what was found and repaired until then stands.
            NoSuchOrder: before anything else.
        """
        await self._check()
        orders, events = await (self._one() if self._asked.order_id else self._all())
        return Sum(orders, events, dict(self._seen), self._repaired)

    async def _check(self) -> None:
        with _asking("order-service"):
            ours = await announcements.are_here(self._orders)
        with _asking("notification-service"):
            theirs = await dead_letters.are_here(self._notifications)
        for here, service, word in (
            (ours, "order-service", "orders"),
            (theirs, "notification-service", "notifications"),
        ):
            if not here:
                raise NotReadable(f"This is not the database of {service}, or it is not migrated: "
                                  f"DATABASE_URL=… shopflow migrate {word}")  # fmt: skip

    async def _one(self) -> tuple[int, int]:
        order_id, asked = self._asked.order_id or _FIRST, self._asked
        with _asking("order-service"):
            owed = await announcements.of_order(self._orders, order_id, since=asked.since, older_than=asked.older_than)
        if owed is None:
            raise NoSuchOrder
        await self._look(owed)
        return 1, len(owed)

    async def _all(self) -> tuple[int, int]:
        orders = events = 0
        after, asked = _FIRST, self._asked
        while True:
            with _asking("order-service"):
                owed, number, last = await announcements.batch(
                    self._orders, after=after, limit=self._batch, since=asked.since, older_than=asked.older_than
                )
            if last is None:
                return orders, events
            await self._look(owed)
            orders, events, after = orders + number, events + len(owed), last
            self._progress(orders, after.int / _LAST)  # ids are random, so the place of one tells the share of all

    async def _look(self, owed: Sequence[Owed]) -> None:
        with _asking("notification-service"):
            told = await fates.of(
                self._notifications,
                [(each.order_id, each.event_type) for each in owed],
                older_than=self._asked.older_than,
            )
        doubtful = [(each, told[each.order_id, each.event_type]) for each in owed if _key(each) in told]
        if not doubtful:
            return
        with _asking("order-service"):
            standings = await announcements.standings(
                self._orders,
                [(fate.event_id or each.event_id, each.order_id) for each, fate in doubtful],
                older_than=self._asked.older_than,
            )
        judgements = (judged(each, fate, standings.get(announcements.place(each))) for each, fate in doubtful)
        findings = [each for each in judgements if each is not None]
        repaired = await self._repair(findings)
        for each in findings:
            self._report(msgspec.structs.replace(each, repaired=each.event_id in repaired))

    async def _repair(self, findings: Sequence[Finding]) -> set[str]:
        """The ids of the events that were announced again."""
        if self._asked.repair_by is None:
            return set()
        lost = [
            Lost(UUID(each.order_id), each.event_type, UUID(each.event_id), each.found)
            for each in findings
            if each.found in REPAIRABLE
        ]
        with _asking("order-service"):
            announced = await announce(self._orders, lost, by=self._asked.repair_by, older_than=self._asked.older_than)
        return {str(each) for each in announced}

    def _report(self, finding: Finding) -> None:
        self._seen[finding.found] += 1
        self._repaired += finding.repaired
        self._found(finding)


def _key(owed: Owed) -> tuple[UUID, str]:
    return owed.order_id, owed.event_type


@contextmanager
def _asking(service: str) -> Iterator[None]:
    """Names the service whose database cannot be asked."""
    try:
        yield
    except Problem as problem:
        raise NotReadable(f"{service}: {problem.detail}") from problem
