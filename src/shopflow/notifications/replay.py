"""Puts parked messages back into the queue they came from; each action leaves a row.

Replaying is safe to repeat at any time, also while the message is on its way already: it opens only channels that
failed for want of retries, the consumer finds what was sent, and the claims keep two from sending the same. The message
counts as replayed only once the broker has confirmed it: a crash before leaves it open (C10).
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID, uuid4

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem, conflict, not_found, unavailable
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Unroutable
from shopflow.kit.rabbitmq.subscriber import repeatable
from shopflow.notifications import dead_letters
from shopflow.notifications.dead_letters import Filter, Replayable
from shopflow.notifications.original import numbered
from shopflow.notifications.parking import headers_to_replay, source_queue

MOST: Final = 1000
"""Messages that one call replays at most: one request must not go on for minutes."""

_AT_ONCE: Final = 20
_OWN: Final = frozenset({Kind.CONFLICT, Kind.NOT_FOUND})


class Wire(Protocol):
    """Where messages go."""

    async def publish(
        self, exchange: str, key: str, body: bytes, *, message_id: str, headers: dict[str, object]
    ) -> None: ...

    async def answers(self) -> bool: ...


class Replay:
    """Has parked messages handled again.

    Args:
        database: where they are kept.
        wire: the way back to their queues.
        metrics: a count of what was done.
    """

    def __init__(self, database: Database, wire: Wire, *, metrics: Metrics) -> None:
        self._database = database
        self._wire = wire
        self._log = logs.logger("desk")
        self._done = metrics.counter("dead_letters_total", "Parked messages by what was done about them.", ("action",))

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str | None) -> None:
        """Puts one message back; one that was replayed or discarded before, too.

        Args:
            dead_letter_id: which.
            by: who wants it: a user's id, or `cli:` and a name.
            reason: why, where that is said.

        Raises:
            Problem: of kind not found; of kind conflict, `dead-letter-without-queue`, for what a stranger parked under
                a key of no queue; of kind unavailable, when the broker did not confirm: the message stays as it was.
        """
        if not await self._wire.answers():  # before anything is noted or opened
            raise _no_broker()
        action_id = uuid4()
        letter = await dead_letters.begin_replay(
            self._database, dead_letter_id, action_id=action_id, by=by, reason=reason
        )
        if letter is None:
            raise await self._no_such(dead_letter_id)
        await self._publish(letter)
        await dead_letters.end_replay(self._database, letter.id, action_id=action_id, times=letter.times)
        self._done.labels("replayed").inc()
        self._log.info("dead_letter_replayed", dead_letter_id=str(letter.id), message_id=letter.message_id, by=by)

    async def replay_matching(
        self, chosen: Filter, *, by: str, reason: str | None, most: int = MOST
    ) -> tuple[int, int]:
        """Puts the open messages back that a filter lets through, those parked first first.

        Returns:
            How many matched, and how many of them went back: fewer when there are more than `most`, and when the broker
            ceased to confirm.

        Raises:
            Problem: of kind unavailable, when none went back.
        """
        found, matched = await dead_letters.oldest(self._database, chosen, limit=most)
        replayed = 0
        for batch in _apart(found):
            results = await asyncio.gather(
                *(self.replay(each, by=by, reason=reason) for each in batch), return_exceptions=True
            )
            replayed += sum(each is None for each in results)
            if (trouble := _stops(results)) is not None:
                if not replayed:
                    raise trouble
                break
        return matched, replayed

    async def _no_such(self, dead_letter_id: UUID) -> Problem:
        if await dead_letters.state(self._database, dead_letter_id) is None:
            return not_found("dead-letter")
        return conflict("dead-letter-without-queue", "This message came from no queue that is known.")

    async def _publish(self, letter: Replayable) -> None:
        queue = source_queue(letter.routing_key) or ""
        headers = numbered(repeatable(headers_to_replay(letter.headers)), letter.copy)
        try:
            await self._wire.publish("", queue, letter.body, message_id=letter.message_id, headers=headers)
        except (BrokerUnavailable, Unroutable) as error:
            raise _no_broker() from error


def _apart(found: Sequence[tuple[UUID, str]]) -> Iterator[list[UUID]]:
    """Batches to be sent at once: never two of one message id, by which the broker's answers are told apart."""
    batch: dict[str, UUID] = {}
    for dead_letter_id, message_id in found:
        if message_id in batch or len(batch) == _AT_ONCE:
            yield list(batch.values())
            batch = {}
        batch[message_id] = dead_letter_id
    if batch:
        yield list(batch.values())


def _stops(results: Sequence[BaseException | None]) -> BaseException | None:
    """What keeps the next ones from going back too; a message that has no queue, or is gone, does not."""
    for each in results:
        if isinstance(each, BaseException) and not (isinstance(each, Problem) and each.kind in _OWN):
            return each
    return None


def _no_broker() -> Problem:
    return unavailable("broker-unavailable", "The broker does not confirm; the message stays where it is. Try again.")
