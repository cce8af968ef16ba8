"""Known bugs, put back into the product's classes and statements: chance has to find each within few schedules."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aio_pika.abc import AbstractChannel
from tests.chaos.mutants import CLAIM
from tests.simulation.schedule import Parts

from shopflow.kit.consumer import Consumer, Verdict, Work
from shopflow.kit.outbox import MARK, Relay
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher
from shopflow.kit.rabbitmq.subscriber import Delivery


class Unconfirmed(Publisher):
    """Publishes without confirms: what is lost on the way is taken for published (C4)."""

    async def _prepare(self, connection: Connection) -> AbstractChannel:
        self._connection = connection
        self._channel = await connection.channel(publisher_confirms=False)
        return self._channel


class Cancelled(Publisher):
    """Lets through with what the library ends those who wait for a connection that is lost: it passes every except."""

    async def publish(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().publish(*arguments, **options)
        except BrokerUnavailable as error:
            lost = error.__cause__ and error.__cause__.__cause__
            raise lost if isinstance(lost, asyncio.CancelledError) else error from None


class Early(Consumer):
    """Acknowledges a message before it is handled (C5)."""

    async def _verdict(self, work: Work, delivery: Delivery) -> Verdict:
        await delivery.acknowledge()
        await asyncio.sleep(0)
        return await super()._verdict(work, delivery)


class Copyless(Consumer):
    """Acknowledges what is to be tried again, and makes no copy (C7)."""

    async def _copy(self, work: Work, delivery: Delivery, attempt: int, verdict: Verdict) -> None:
        """Makes none."""


class Hasty(Relay):
    """Marks events as published before the broker has them."""

    async def _batch(self) -> bool:
        rows = await self._database.fetch("SELECT event_id FROM outbox WHERE published_at IS NULL")
        more = await super()._batch() if rows else False
        await self._database.execute(MARK, [row["event_id"] for row in rows])
        return more


def changed(*pairs: tuple[str, str]) -> Callable[[str], str]:
    """Rewrites statements. What is no longer there leaves them as they are, and then the bug is not found."""

    def rewritten(statement: str) -> str:
        for old, new in pairs:
            statement = statement.replace(old, new)
        return statement

    return rewritten


REST = "greatest(extract(epoch FROM free_at - clock_timestamp()), 0)::float8"


@dataclass(frozen=True)
class Mutant:
    """A bug, which invariants it breaks, and within how many schedules that must be seen."""

    name: str
    parts: Parts
    breaks: frozenset[str]
    within: int


MUTANTS: Final = (
    Mutant("the broker's confirm is not waited for", Parts(publisher=Unconfirmed), frozenset({"I5"}), 200),
    Mutant("a cancellation of nobody's ends who publishes", Parts(publisher=Cancelled), frozenset({"I3", "I5"}), 200),
    Mutant("events are marked before the broker has them", Parts(relay=Hasty), frozenset({"I5"}), 200),
    Mutant("a message is acknowledged before it is handled", Parts(consumer=Early), frozenset({"I5"}), 200),
    Mutant("a retry is acknowledged without a copy", Parts(consumer=Copyless), frozenset({"I5"}), 200),
    Mutant(
        "a delivery is sent without a claim",
        Parts(statement=changed((CLAIM, "($3::uuid IS NULL OR true)"), (REST, "0::float8"))),
        frozenset({"I4"}),
        400,
    ),
    Mutant(
        "somebody else's lease is not looked at",
        Parts(statement=changed(("free_at <= clock_timestamp() AND ", ""), (REST, "0::float8"))),
        frozenset({"I4"}),
        400,
    ),
    Mutant(
        "a relay does not look at the order of a subject",
        Parts(statement=changed(("WHERE position = (", "WHERE position >= ("))),
        frozenset({"order"}),
        400,
    ),
)  # fmt: skip
