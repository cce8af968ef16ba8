"""Consuming one message: handle it within a deadline, then acknowledge, retry, park or hand back.

Owns the retry ladder of messages and the parking; what a message means is the handler's business, and a handler that
has parts with ladders of their own says when it wants the message again. A copy for later is confirmed by the broker
before the original is acknowledged: a crash between gives a duplicate, never a loss (C7, C9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias, assert_never

from shopflow.kit import logs, traces
from shopflow.kit.cancellations import none_but_ours
from shopflow.kit.handlings import Handlings
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, Problem
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.legible import UNREADABLE
from shopflow.kit.rabbitmq.link import Declared
from shopflow.kit.rabbitmq.publisher import BrokerUnavailable, Publisher, Unroutable
from shopflow.kit.rabbitmq.subscriber import Delivery, Subscriber, repeatable

PREFETCH: Final = 10
ATTEMPT: Final = "x-shopflow-attempt"
REASON: Final = "x-shopflow-reason"

_DEADLINE: Final = 45.0
"""Seconds for one message, below the shortest time after which a broker may take an unacknowledged one away (B-16)."""

_IN_TIME: Final = 1.1
"""Times its wait: a copy that comes by a tenth too late is in time."""

_DRAIN_WITHIN: Final = 2.5
_HAND_BACK_AFTER: Final = 1.0


@dataclass(frozen=True)
class Done:
    """The message is dealt with, whatever the outcome was."""


@dataclass(frozen=True)
class Retry:
    """Something passing stood in the way: try again after the next delay; after the last one, park.

    `after`: the handler counts by itself and wants the message again in so many seconds. Then nothing is counted here.
    """

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class Wait:
    """Something that says nothing about this message stands in the way: try again later, without counting (R55).

    `after` are the seconds until then, where they are known.
    """

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class Park:
    """No retry will help: put the message aside for an operator.

    `retries` are those behind it which the handler counted by itself.
    """

    reason: str
    retries: int = 0


Verdict: TypeAlias = Done | Retry | Wait | Park


class Message(Protocol):
    """What a handler sees of a message; what becomes of it with the broker is not the handler's."""

    body: bytes
    headers: Mapping[str, Any]
    message_id: str | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """One queue and what is done with its messages.

    Attributes:
        queue: what is consumed.
        delays: seconds before each retry.
        pause: seconds that an uncounted copy waits when nobody knows better.
        wait_queue: the queue in which a copy waits for one of these delays, or the pause.
        parking_exchange: where messages go for good, under `parking_key`.
        handle: decides about one message; problems it raises become verdicts by their kind.
    """

    queue: str
    delays: Sequence[float]
    pause: float
    wait_queue: Callable[[float], str]
    parking_exchange: str
    parking_key: str
    handle: Callable[[Message], Awaitable[Verdict]]


class Consumer:
    """Consumes several queues until closed.

    Args:
        url: the broker.
        works: one for each queue.
        topology: declared before consuming.
        publisher: where copies go; opened and closed by whoever made it.
        metrics: counts of verdicts, messages in flight, time of handling.
        handlings: counts messages that kill the process; without it nothing but the broker's limit ends a crash loop.
        connect: makes a connection to the broker.
    """

    def __init__(
        self,
        url: str,
        *,
        works: Sequence[Work],
        topology: Declared,
        publisher: Publisher,
        metrics: Metrics,
        handlings: Handlings | None = None,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        self._handlings = handlings
        self._works = {work.queue: work for work in works}
        self._publisher = publisher
        self._log = logs.logger("consumer")
        self._in_flight = metrics.gauge("messages_in_flight", "Messages being handled now.", ("queue",))
        self._verdicts = metrics.counter("messages_total", "Messages by what became of them.", ("queue", "verdict"))
        self._unconfirmed = metrics.counter(
            "message_copies_unconfirmed_total",
            "Copies for later or for parking that the broker did not keep.",
            ("queue",),
        )
        self._seconds = metrics.histogram("message_seconds", "Time one message takes.", ("queue",))
        self._subscriber = Subscriber(
            url,
            name="consumer",
            topology=topology,
            metrics=metrics,
            queues=list(self._works),
            receive=self._receive,
            prefetch=PREFETCH,
            connect=connect,
        )

    async def open(self) -> None:
        """Starts consuming as soon as the broker is there."""
        await self._subscriber.open()

    async def close(self) -> None:
        """Takes nothing new, finishes what it holds, hands the rest back."""
        await self._subscriber.drain(_DRAIN_WITHIN)
        await self._subscriber.close()

    async def answers(self) -> bool:
        """Whether messages are being consumed and copies can be published; for `/ready`."""
        return await self._subscriber.answers() and await self._publisher.answers()

    async def _receive(self, queue: str, delivery: Delivery) -> None:
        work = self._works[queue]
        traces.current.set(traces.joined_from(delivery.headers))
        if UNREADABLE in delivery.headers:
            self._log.warning("headers_unreadable", queue=queue, message_id=delivery.message_id)
        started = perf_counter()
        with self._in_flight.labels(queue).track_inprogress():
            attempt = _attempt(delivery.headers, len(work.delays))
            await self._carry_out(work, delivery, attempt, await self._verdict(work, delivery))
        self._seconds.labels(queue).observe(perf_counter() - started)

    async def _verdict(self, work: Work, delivery: Delivery) -> Verdict:
        """A verdict in any case: an exception that escaped would leak a prefetch slot for ever (C5)."""
        try:
            if delivery.redelivered and self._handlings is not None:
                async with self._handlings.counted(_identity(work, delivery)) as too_often:
                    return Park("crash_loop") if too_often else await self._judged(work, delivery)
            return await self._judged(work, delivery)
        except Problem as problem:
            return _verdict_of(problem)

    async def _judged(self, work: Work, delivery: Delivery) -> Verdict:
        try:
            with none_but_ours():
                async with asyncio.timeout(_DEADLINE):
                    return await work.handle(delivery)
        except Problem as problem:
            return _verdict_of(problem)
        except TimeoutError:
            return Retry("deadline_exceeded")
        except Exception as error:  # noqa: BLE001 - as in _verdict
            self._log.error("message_failed", queue=work.queue, error=type(error).__name__, exc_info=error)
            return Retry("internal_error")

    async def _carry_out(self, work: Work, delivery: Delivery, attempt: int, verdict: Verdict) -> None:
        if isinstance(verdict, Retry) and verdict.after is None and attempt >= len(work.delays):
            verdict = Park(verdict.reason)
        name = type(verdict).__name__.lower()
        self._verdicts.labels(work.queue, name).inc()
        log = self._log.info if isinstance(verdict, Done) else self._log.warning
        log("message", queue=work.queue, message_id=delivery.message_id, verdict=name, attempt=attempt,
            reason=getattr(verdict, "reason", None))  # fmt: skip
        try:
            await self._copy(work, delivery, attempt, verdict)
        except Exception as error:  # noqa: BLE001 - as in _verdict
            self._unconfirmed.labels(work.queue).inc()
            known = isinstance(error, BrokerUnavailable | Unroutable)
            self._log.error(
                "copy_not_confirmed", queue=work.queue, error=type(error).__name__, exc_info=None if known else error
            )
            await asyncio.sleep(_HAND_BACK_AFTER)  # or the broker would deliver it again in a tight loop
            await delivery.hand_back()
        else:
            await delivery.acknowledge()

    async def _copy(self, work: Work, delivery: Delivery, attempt: int, verdict: Verdict) -> None:
        match verdict:
            case Done():
                return
            case Retry(after=None):
                await self._publish(delivery, "", work.wait_queue(work.delays[attempt]), {ATTEMPT: attempt + 1})
            case Retry(_, after) | Wait(_, after):
                await self._publish(delivery, "", work.wait_queue(_delay(work, after)), {ATTEMPT: attempt})
            case Park(reason, retries):
                headers = {ATTEMPT: max(attempt, retries), REASON: reason}
                await self._publish(delivery, work.parking_exchange, work.parking_key, headers)
            case _:
                assert_never(verdict)

    async def _publish(self, delivery: Delivery, exchange: str, key: str, headers: Mapping[str, Any]) -> None:
        """The same bytes again, with those of its headers that can be sent, and ours."""
        foreign = repeatable({name: value for name, value in delivery.headers.items() if name != "x-death"})
        await self._publisher.publish(
            exchange, key, delivery.body, message_id=delivery.message_id or "", headers={**foreign, **headers}
        )


def _identity(work: Work, delivery: Delivery) -> bytes:
    """The same for every delivery of a message; without an id, for every message with that body."""
    parts = (work.queue.encode(), (delivery.message_id or "").encode(), delivery.body)
    return sha256(b"\0".join(parts)).digest()


def _attempt(headers: Mapping[str, Any], most: int) -> int:
    """How many retries are behind this message; whatever a stranger wrote there is forced into the ladder (E-13)."""
    value = headers.get(ATTEMPT, 0)
    return min(max(value, 0), most) if isinstance(value, int) else 0


def _delay(work: Work, after: float | None) -> float:
    """The longest wait after which a message is not late; one that comes early is sent to wait once more."""
    if after is None:
        return work.pause
    waits = (*work.delays, work.pause)
    return max((each for each in waits if each <= after * _IN_TIME), default=min(waits))


def _verdict_of(problem: Problem) -> Verdict:
    """A problem in the consumer (the table of errors in docs/architecture.md)."""
    match problem.kind:
        case Kind.UNAVAILABLE if problem.code == "database-unavailable":
            return Wait("own_database_unavailable")
        case Kind.UNAVAILABLE | Kind.TIMED_OUT:
            return Retry("dependency_unavailable")
        case Kind.UNAUTHENTICATED:
            return Wait(problem.code)
        case Kind.TOO_MANY:
            return Wait("too_many_requests")
        case Kind.INTERNAL:
            return Retry("internal_error")
        case _:
            return Park(problem.code)
