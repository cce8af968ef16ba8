"""Consuming from RabbitMQ: bounded, acknowledged by hand, and drained before the connection goes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import CLOSE_DEADLINE, Declared, Link, quietly

_SETTLE_DEADLINE: Final = 2.0
_MOST_HEADERS: Final = 64 * 1024  # bytes: half of the frame that RabbitMQ takes headers in


class Delivery:
    """One message handed out by the broker; it stays the broker's until it is acknowledged."""

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message
        self.body = message.body
        self.headers: Mapping[str, Any] = message.headers
        self.message_id = message.message_id
        self.routing_key = message.routing_key or ""
        self.redelivered = bool(message.redelivered)

    async def acknowledge(self) -> None:
        """Tells the broker that the message is dealt with."""
        await quietly(self._message.ack(), within=_SETTLE_DEADLINE)

    async def hand_back(self) -> None:
        """Tells the broker to deliver the message again."""
        await quietly(self._message.nack(requeue=True), within=_SETTLE_DEADLINE)


class Subscriber(Link):
    """Consumes queues: one consumer each, at most `prefetch` messages in flight each (PRD 10.3).

    Args:
        receive: gets the queue's name and each delivery; runs as a task of its own and must not raise.
        queues: what to consume.
        prefetch: messages in flight per consumer.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        topology: Declared,
        metrics: Metrics,
        queues: Sequence[str],
        receive: Callable[[str, Delivery], Awaitable[None]],
        prefetch: int,
    ) -> None:
        super().__init__(url, name=name, topology=topology, metrics=metrics)
        self._queues = tuple(queues)
        self._receive = receive
        self._prefetch = prefetch
        self._running: set[asyncio.Task[None]] = set()
        self._consumers: list[tuple[Any, str]] = []

    async def drain(self, within: float) -> None:
        """Takes nothing new, and gives what is in flight `within` seconds; the rest goes back to the broker.

        What is cut off stays unacknowledged, so the broker delivers it again once the connection closes.
        """
        self._closing = True  # a connection that breaks from here on is not rebuilt: it would consume again
        leaving = (quietly(queue.cancel(tag), within=CLOSE_DEADLINE) for queue, tag in self._consumers)
        await asyncio.gather(*leaving)
        self._consumers.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_DEADLINE)

    async def _prepare(self, connection: Connection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=self._prefetch)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._cancelled)  # a queue was deleted under its consumer
        self._consumers.clear()
        for name in self._queues:
            queue = await channel.get_queue(name, ensure=False)
            self._consumers.append((queue, await queue.consume(self._taker(name))))
        return channel

    def _cancelled(self, *_: object) -> None:
        self._broken.set()

    def _taker(self, queue: str) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        async def take(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine runs in a task
            self._running.add(task)
            try:
                await self._receive(queue, Delivery(message))
            finally:
                self._running.discard(task)

        return take


def repeatable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those headers of a delivery that can be sent again: a stranger's may be such that our library only reads them.

    Left out are values that it cannot write (a double beyond single precision, text that is not UTF-8), and what goes
    beyond 64 KiB, since a copy carries more headers than its original and they have to fit into one frame.
    """
    kept: dict[str, Any] = {}
    size = 0
    for name, value in headers.items():
        length = _written_length(name, value)
        if length is not None and size + length <= _MOST_HEADERS:
            kept[name] = value
            size += length
    return kept


def _written_length(name: str, value: Any) -> int | None:
    try:
        return len(aio_pika.Message(b"", headers={name: value}).properties.marshal())
    except (TypeError, ValueError, OverflowError):
        return None
