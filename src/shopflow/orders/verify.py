"""Verifies the histories of all orders: recomputes every chain, and compares it with what the orders say themselves.

Reads a batch at a time, each in a statement of its own: a run over millions of orders holds no lock, no old snapshot
and no more memory than over a thousand. The service may go on meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from shopflow.kit.postgres import Connection
from shopflow.orders import evidence
from shopflow.orders.audit import Digest, Rule, breaks, head

BATCH: Final = 1000

_NIL: Final = UUID(int=0)
_LAST: Final = 2**128


class NotChained(Exception):
    """This is not the database of orders, or its schema has no hashes yet: migrate it first."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run found. `digest` covers the entries up to `until`, and so is the same whenever it is computed again."""

    orders: int
    entries: int
    broken: int
    until: datetime
    digest: str


async def verify(
    connection: Connection,
    *,
    until: datetime,
    found: Callable[[UUID, Rule], None],
    progress: Callable[[int, float], None],
) -> Verdict:
    """Looks at every order.

    Args:
        connection: the database.
        until: the instant up to which entries count for the digest.
        found: is told each broken rule, in the order of the orders' ids.
        progress: is told after each batch how many orders are done, and which share of all that is about.

    Raises:
        Problem: of kind unavailable.
        NotChained: there is nothing to verify.
    """
    if not await evidence.is_chained(connection):
        raise NotChained
    orders = entries = broken = 0
    digest, after = Digest(), _NIL
    while batch := await evidence.batch(connection, after=after, limit=BATCH):
        for each in batch:
            for rule in breaks(each):
                broken += 1
                found(each.order_id, rule)
            if (last := head(each, until=until)) is not None:
                digest.add(each.order_id, last)
            entries += len(each.links)
        orders += len(batch)
        after = batch[-1].order_id
        progress(orders, after.int / _LAST)  # ids are random, so the place of one tells the share of all
    return Verdict(orders=orders, entries=entries, broken=broken, until=until, digest=digest.text())
