"""Brings back events that are not finished and that nobody works on any more (C15): a queue was purged, a copy lost.

It publishes a copy and decides nothing else: whoever handles it finds what was sent, and claims keep two from sending
the same. The copies of one event do not add up: the newest counts, an older one that would have to wait is dropped.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.kit import logs
from shopflow.kit.cancellations import ended
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Unroutable
from shopflow.kit.rabbitmq.subscriber import repeatable
from shopflow.notifications import unfinished
from shopflow.notifications.original import numbered
from shopflow.notifications.parking import headers_to_replay
from shopflow.notifications.unfinished import Idle

SHORT: Final = 1000
"""Messages in a queue up to which whatever waits there is handled soon; in a longer one a copy may just wait."""

LOOKS: Final = 5
"""Looks in the time after which something counts as left alone; but one a minute at least."""

_LONGEST_PAUSE: Final = 60.0
_BATCH: Final = 20
_PAUSE: Final = 0.4  # seconds between two batches: at most 50 messages a second, as what is replayed by itself
_QUEUES: Final = {str(each.event_type): each.queue for each in SUBSCRIPTIONS}


class Wire(Protocol):
    """The way back to the queues."""

    async def publish(
        self, exchange: str, key: str, body: bytes, *, message_id: str, headers: dict[str, object]
    ) -> None: ...

    async def waiting(self, queue: str) -> int: ...


class Sweep:
    """Looks for such events until closed; several instances share them.

    Nothing is swept before broker and database have answered, and the queues have been short, for as long as an event
    has to lie idle: after a backlog or an outage those whose job it is come first.

    Args:
        database: where events are on record.
        wire: brings them back.
        metrics: how many were brought back, and how old the oldest one is that is not finished.
        after: seconds without a sign of work after which nobody works on an event.
        clock: seconds that never go back.
    """

    def __init__(
        self, database: Database, wire: Wire, *, metrics: Metrics, after: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._database = database
        self._wire = wire
        self._after = after
        self._now = clock
        self._calm_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._log = logs.logger("sweep")
        self._swept = metrics.counter(
            "events_swept_total", "Events brought back to their queue because nobody worked on them."
        )
        self._oldest = metrics.gauge(
            "events_unfinished_seconds", "How long the oldest event has waited whose notifications are not all final."
        )

    async def open(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run(), name="sweep")

    async def close(self) -> None:
        """Stops; what was begun is found again later."""
        if self._task is not None:
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(self._after / LOOKS, _LONGEST_PAUSE))
            try:
                await self.look()
            except (Problem, BrokerUnavailable, Unroutable) as trouble:
                self._calm_since = None
                self._log.warning("not_swept", error=type(trouble).__name__)
            except Exception as error:  # noqa: BLE001 - it must outlive every surprise
                self._calm_since = None
                self._log.error("not_swept", error=type(error).__name__, exc_info=error)

    async def look(self) -> None:
        """Brings back everything that nobody works on, if it has been calm for long enough to know.

        Raises:
            Problem: of kind unavailable: the database.
            BrokerUnavailable, Unroutable: what was not published is left alone for a while, like what was.
        """
        self._oldest.set(await unfinished.oldest(self._database))
        if not await self._calm():
            return
        while idle := await unfinished.sweep(self._database, limit=_BATCH, after=self._after):
            for each in idle:
                await self._bring_back(each)
            await asyncio.sleep(_PAUSE)

    async def _calm(self) -> bool:
        if max([await self._wire.waiting(queue) for queue in _QUEUES.values()]) > SHORT:
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = self._now()
        return self._now() - self._calm_since >= self._after

    async def _bring_back(self, idle: Idle) -> None:
        headers = numbered(repeatable(headers_to_replay(idle.headers)), idle.copy)
        queue = _QUEUES[idle.event_type]
        await self._wire.publish("", queue, idle.body, message_id=idle.message_id, headers=headers)
        self._swept.inc()
        self._log.warning("swept", event_id=str(idle.event_id), queue=queue, copy=idle.copy)
