"""Empties the parking queue into the table of dead letters (R53): AMQP has no browsing, operators read the table.

A message is acknowledged after its row is committed; one that comes twice opens the same row twice. It decides nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from shopflow.contracts.topology import DEAD_LETTER_QUEUE
from shopflow.kit import logs
from shopflow.kit.consumer import ATTEMPT, REASON
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import Declared
from shopflow.kit.rabbitmq.subscriber import Delivery, Subscriber
from shopflow.notifications import dead_letters, parking

_PREFETCH: Final = 10
_DRAIN_WITHIN: Final = 1.0
_HAND_BACK_AFTER: Final = 1.0


class Drain:
    """Consumes the parking queue until closed.

    Args:
        url: the broker.
        database: where the table is.
        topology: declared before consuming.
        metrics: a count of what was kept.
        connect: makes a connection to the broker.
    """

    def __init__(
        self,
        url: str,
        database: Database,
        *,
        topology: Declared,
        metrics: Metrics,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        self._database = database
        self._log = logs.logger("drain")
        self._kept = metrics.counter("dead_letters_total", "Parked messages by what was done about them.", ("action",))
        self._subscriber = Subscriber(
            url,
            name="dead-letters",
            topology=topology,
            metrics=metrics,
            queues=[DEAD_LETTER_QUEUE],
            receive=self._receive,
            prefetch=_PREFETCH,
            connect=connect,
        )

    async def open(self) -> None:
        """Starts consuming as soon as the broker is there."""
        await self._subscriber.open()

    async def close(self) -> None:
        """Takes nothing new, and hands back what it has not kept yet."""
        await self._subscriber.drain(_DRAIN_WITHIN)
        await self._subscriber.close()

    async def _receive(self, _: str, delivery: Delivery) -> None:
        try:
            parked = parking.parked(
                delivery.body,
                delivery.headers,
                routing_key=delivery.routing_key,
                message_id=delivery.message_id,
                retries=delivery.headers.get(ATTEMPT),
                reason=delivery.headers.get(REASON),
            )
            await dead_letters.keep(self._database, parked)
        except Exception as error:  # noqa: BLE001 - an exception that escaped would leak a prefetch slot for ever (C5)
            known = isinstance(error, Problem)
            self._log.error("dead_letter_not_kept", error=type(error).__name__, exc_info=None if known else error)
            await asyncio.sleep(_HAND_BACK_AFTER)  # or the broker would deliver it again in a tight loop
            await delivery.hand_back()
        else:
            self._kept.labels("parked").inc()
            await delivery.acknowledge()
