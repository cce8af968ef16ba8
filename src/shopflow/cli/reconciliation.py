"""What `shopflow reconcile` reads, prints and answers as its exit status. The comparing is in `comparison.py`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec

from shopflow.cli.comparison import Asked, Comparison, NoSuchOrder, NotReadable, Sum
from shopflow.cli.environment import Databases, databases
from shopflow.cli.finding import REPAIRABLE, Finding
from shopflow.cli.on_database import actor, fail
from shopflow.contracts.fields import identifier, instant
from shopflow.kit import logs
from shopflow.kit.postgres import Database

LONGEST_AGE: Final = 365 * 24 * 3600

_SAY_EVERY: Final = 2.0


def reconcile(*, repair: bool, order: str | None, since: str | None, older_than: float, json: bool) -> None:
    """Looks, repairs when told to, prints each finding and the sum, and ends the process."""
    asked = Asked(
        order_id=_order_id(order),
        since=_instant(since),
        older_than=_age(older_than),
        repair_by=actor() if repair else None,
    )
    at, report = databases(os.environ), _Report(as_json=json)
    logs.configure(service="cli", level="error", to=sys.stderr)
    try:
        summed = asyncio.run(_compare(at, asked, report))
    except NotReadable as error:
        fail(str(error), status=3)
    except NoSuchOrder:
        fail(f"There is no order {order}.", status=2)
    report.end(summed, repairing=repair)
    raise SystemExit(1 if summed.left else 0)


class _Report:
    """What is said on standard output, and on standard error while it takes time."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._said = monotonic()
        self._begun = False

    def found(self, finding: Finding) -> None:
        """One finding: an object, or a row of a table."""
        if self._as_json:
            print(msgspec.json.encode(finding).decode())
            return
        if not self._begun:
            self._begun = True
            print(f"{'ORDER':<36}  {'EVENT':<12}  {'SINCE':<24}  FOUND")
        print(f"{finding.order_id}  {finding.event_type:<12}  {finding.since:<24}  {finding.found}{_more(finding)}")

    def progress(self, orders: int, share: float) -> None:
        """Every two seconds how far it is."""
        if monotonic() - self._said >= _SAY_EVERY:
            self._said = monotonic()
            sys.stderr.write(f"{orders:,} orders, about {share:.0%}\n")

    def end(self, summed: Sum, *, repairing: bool) -> None:
        """The sum."""
        if self._as_json:
            told = msgspec.to_builtins(summed) | {"left": summed.left}
            print(msgspec.json.encode(told).decode())
            return
        counts = ", ".join(f"{number:,} {what}" for what, number in sorted(summed.found.items()))
        print(f"{summed.orders:,} orders, {summed.events:,} events: {counts or 'nothing missing'}")
        if summed.repaired:
            print(f"{summed.repaired:,} announced again; order-service publishes them when it runs")
        elif not repairing and REPAIRABLE & summed.found.keys():
            sys.stderr.write("--repair announces again what is missing, unheard or unfinished\n")


def _more(finding: Finding) -> str:
    if finding.repaired:
        return ", announced again"
    return f": {finding.reason} (dead letter {finding.dead_letter_id})" if finding.reason else ""


async def _compare(at: Databases, asked: Asked, report: _Report) -> Sum:
    async with _opened(at.orders) as orders, _opened(at.notifications) as notifications:
        return await Comparison(orders, notifications, asked, found=report.found, progress=report.progress).run()


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, size=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def _order_id(text: str | None) -> UUID | None:
    found = None if text is None else identifier(text)
    if text is not None and found is None:
        fail(f"{text} is not an id", status=2)
    return found


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else instant(text).astimezone(UTC)
    except (ValueError, OverflowError):
        fail("--since must be an RFC 3339 timestamp with an offset", status=2)


def _age(seconds: float) -> float:
    if not 0 <= seconds <= LONGEST_AGE:
        fail(f"--older-than must be from 0 to {LONGEST_AGE:,} seconds", status=2)
    return seconds
