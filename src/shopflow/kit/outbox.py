"""The transactional outbox: rows written in the caller's transaction, published by a relay (C1).

The table is `outbox`, declared by the service that writes it. A row is claimed by a lease in the database's clock, so
several relays may run; it is marked published only after the broker's confirm, so a crash anywhere publishes again and
loses nothing. Rows about the same subject go out in the order in which they were written.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from shopflow.kit import logs
from shopflow.kit.cancellations import ended
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database, Row
from shopflow.kit.problems import Problem
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher, Unroutable

BATCH: Final = 200
LEASE: Final = 30.0
SWEEP: Final = 1.0
LOOK: Final = 10.0
"""Seconds between two looks at the backlog as a whole, for the metrics and to trim it."""
KEEP: Final = "7 days"

_LAST_WAIT: Final = 1.0
_TRIMMED: Final = 5000  # rows at a look: thirty thousand a minute, several times what is written at ten times the peak

CLAIM: Final = """
WITH oldest AS MATERIALIZED (
    SELECT event_id, subject_id, position
    FROM outbox
    WHERE published_at IS NULL AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
    ORDER BY position
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), next AS (
    SELECT event_id FROM oldest
    WHERE position = (
        SELECT min(earlier.position) FROM outbox AS earlier
        WHERE earlier.subject_id = oldest.subject_id AND earlier.published_at IS NULL
    )
)
UPDATE outbox
SET claimed_by = $1, claimed_until = clock_timestamp() + make_interval(secs => $2), attempts = attempts + 1
WHERE event_id = ANY (ARRAY(SELECT event_id FROM next))
RETURNING event_id, position, routing_key, body, headers, attempts,
          extract(epoch FROM clock_timestamp() - created_at)::float8 AS age,
          EXISTS (
              SELECT FROM outbox AS later
              WHERE later.subject_id = outbox.subject_id AND later.published_at IS NULL
                AND later.position > outbox.position
          ) AS followed
"""
"""Shaped so that no plan is quadratic in the backlog: the plan is cached while the table is empty (as an anti-join it
took six seconds for 5,000 rows, more than a statement may)."""

MARK: Final = """
UPDATE outbox SET published_at = clock_timestamp(), claimed_by = NULL, claimed_until = NULL
WHERE event_id = ANY ($1::uuid[]) AND published_at IS NULL
"""

POSTPONE: Final = """
UPDATE outbox
SET claimed_by = NULL,
    claimed_until = clock_timestamp()
        + make_interval(secs => least(10, 0.1 * 2 ^ least(attempts, 9)) * (0.5 + random() / 2))
WHERE event_id = ANY ($1::uuid[]) AND claimed_by = $2 AND published_at IS NULL
"""

HANDED_BACK: Final = """
UPDATE outbox SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = $1 AND published_at IS NULL
"""

BACKLOG: Final = """
SELECT count(*) AS depth, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS age
FROM outbox WHERE published_at IS NULL
"""

TRIM: Final = f"""
DELETE FROM outbox WHERE event_id IN (
    SELECT event_id FROM outbox WHERE published_at < now() - interval '{KEEP}' LIMIT {_TRIMMED}
)
"""  # noqa: S608 - constants of ours


class Relay:
    """Publishes what the outbox holds: at once when woken, by a sweep every second for safety.

    Args:
        database: where the outbox is.
        publisher: the way to the broker.
        exchange: where events go.
        metrics: depth and age of the backlog, and the time from commit to confirm (PRD 10.1).
    """

    def __init__(self, database: Database, publisher: Publisher, *, exchange: str, metrics: Metrics) -> None:
        self._database = database
        self._publisher = publisher
        self._exchange = exchange
        self._id = uuid4()
        self._woken = asyncio.Event()
        self._closing = False
        self._next_look = 0.0
        self._task: asyncio.Task[None] | None = None
        self._headers = msgspec.json.Decoder(dict[str, str])
        self._log = logs.logger("outbox")
        self._seconds = metrics.histogram(
            "event_publish_seconds", "Time from an event's commit to the broker's confirm."
        )
        self._failures = metrics.counter("event_publish_failures_total", "Tries to publish an event that failed.")
        self._depth = metrics.gauge("outbox_unpublished", "Events that wait to be published.")
        self._age = metrics.gauge("outbox_oldest_seconds", "How long the oldest of them has waited.")

    async def open(self) -> None:
        """Starts relaying."""
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def close(self) -> None:
        """Lets the batch in flight end, for a second; what it could not settle is free for whoever comes next."""
        self._closing = True
        self._woken.set()
        if self._task is None:
            return
        _, unfinished = await asyncio.wait([self._task], timeout=_LAST_WAIT)
        if unfinished:
            await ended(self._task)
            await self._hand_back()

    def wake(self) -> None:
        """Something was committed: publish it now."""
        self._woken.set()

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._catch_up()
            except Problem:
                self._log.warning("outbox_database_unavailable")
                await asyncio.sleep(SWEEP)
            except Exception as error:  # noqa: BLE001 - the relay must outlive every surprise
                self._log.error("outbox_error", error=type(error).__name__, exc_info=error)
                await asyncio.sleep(SWEEP)
            await self._woken_or_swept()

    async def _catch_up(self) -> None:
        while not self._closing and await self._batch():
            await self._look_if_due()  # under a lasting load there is always more
        await self._look_if_due()

    async def _woken_or_swept(self) -> None:
        try:
            async with asyncio.timeout(SWEEP):
                await self._woken.wait()
        except TimeoutError:
            return  # time for a sweep
        finally:
            self._woken.clear()

    async def _batch(self) -> bool:
        """Publishes what can be claimed now; answers whether there is likely to be more."""
        if not await self._publisher.answers():
            return False
        rows = await self._database.fetch(CLAIM, self._id, LEASE, BATCH)
        if not rows:
            return False
        claimed = perf_counter()
        errors = await asyncio.gather(*(self._publish(row, claimed) for row in rows))
        failed = {row["event_id"]: error for row, error in zip(rows, errors, strict=True) if error}
        published = [row["event_id"] for row in rows if row["event_id"] not in failed]
        if failed:
            self._log.warning("events_not_published", number=len(failed), errors=sorted(set(failed.values())))
        await self._settle(published, list(failed))
        # One event that nothing follows is what a wake was for; looking again would only cost a round trip.
        return bool(published) and (len(rows) > 1 or bool(rows[0]["followed"]))

    async def _publish(self, row: Row, claimed: float) -> str | None:
        """Publishes one event; answers the name of what went wrong. Never raises, or one row would hold up all."""
        try:
            headers: dict[str, Any] = dict(self._headers.decode(row["headers"]))
            await self._publisher.publish(
                self._exchange, row["routing_key"], row["body"], message_id=str(row["event_id"]), headers=headers
            )
        except (BrokerUnavailable, Unroutable) as error:
            self._failures.inc()
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - as said above
            self._failures.inc()
            self._log.error("event_not_publishable", event_id=str(row["event_id"]), exc_info=error)
            return type(error).__name__
        self._seconds.observe(row["age"] + perf_counter() - claimed)
        return None

    async def _settle(self, published: Sequence[UUID], failed: Sequence[UUID]) -> None:
        if published:
            await self._database.execute(MARK, published)
        if failed:
            await self._database.execute(POSTPONE, failed, self._id)

    async def _hand_back(self) -> None:
        """Ends our leases, so that a successor need not wait for them; what was confirmed meanwhile goes out twice."""
        try:
            await self._database.execute(HANDED_BACK, self._id)
        except Problem:
            self._log.warning("outbox_database_unavailable")

    async def _look_if_due(self) -> None:
        """Refreshes the metrics of the backlog, and drops rows that have been published for a week."""
        now = asyncio.get_running_loop().time()
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        backlog = await self._database.fetchrow(BACKLOG)
        if backlog is not None:
            self._depth.set(backlog["depth"])
            self._age.set(backlog["age"])
        await self._database.execute(TRIM)
