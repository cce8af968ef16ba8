"""Consuming from RabbitMQ: bounded, acknowledged by hand, and drained before the connection goes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import CLOSE_DEADLINE, Declared, Link, is_loss, quietly

T = TypeVar("T")

_SETTLE_DEADLINE: Final = 2.0
_WATCH: Final = 5.0
"""Seconds without a message after which those that the broker has for us are kept back (C11)."""

_PROBE_DEADLINE: Final = 5.0
"""Seconds of silence, of heartbeats too, after which a broker that was asked something is taken for gone (B-8)."""

_LONGEST_PROBE: Final = 20.0
"""Seconds after which an answer does not count any more though other things come: a link may be slow (B-11)."""

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
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        super().__init__(url, name=name, topology=topology, metrics=metrics, connect=connect)
        self._queues = tuple(queues)
        self._receive = receive
        self._prefetch = prefetch
        self._running: set[asyncio.Task[None]] = set()
        self._busy: dict[str, int] = {}
        self._heard = dict.fromkeys(self._queues, 0.0)
        self._stalls = metrics.counter(
            "broker_stalls_total", "Connections given up because nothing came any more.", ("link",)
        ).labels(name)
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
        self._busy = dict.fromkeys(self._queues, 0)  # what the last life handed out still runs, and holds no slot here
        for name in self._queues:
            queue = await channel.get_queue(name, ensure=False)
            self._heard[name] = asyncio.get_running_loop().time()
            self._consumers.append((queue, await queue.consume(self._taker(name))))
        return channel

    async def _stalled(self, connection: Connection) -> None:
        """Returns when the broker no longer answers, or has messages for us that do not come.

        Seen happening: packets dropped without a word, a consumer that the broker forgot, a message that was handed
        out and that nobody works on. The broker takes back what is unacknowledged once the connection ends.
        """
        try:
            await self._until_kept_back(connection)
        except Exception as error:
            if not is_loss(error):
                raise
        self._stalls.inc()
        self._log.error("broker_stalled", link=self._name)
        connection.abandon()  # a farewell would wait for an answer as well

    async def _until_kept_back(self, connection: Connection) -> None:
        channel = await self._answer(connection, connection.channel(publisher_confirms=False))
        before: Mapping[str, float] = {}
        while True:
            await asyncio.sleep(_WATCH / 2)
            asked = [name for name in self._quiet(_WATCH / 2) if await self._holds(connection, channel, name)]
            kept_back = {name: self._heard[name] for name in self._quiet(_WATCH) if name in asked}
            if kept_back.items() & before.items():  # twice, or it would be what is just on its way
                return
            before = kept_back

    def _quiet(self, seconds: float) -> list[str]:
        """Queues of which nothing came for some time though we could take more."""
        since = asyncio.get_running_loop().time() - seconds
        return [
            name
            for name in self._queues
            if self._heard[name] <= since and self._busy[name] < self._prefetch and not self._closing
        ]

    async def _holds(self, connection: Connection, channel: AbstractChannel, queue: str) -> bool:
        """Whether messages of the queue wait for a consumer."""
        found = await self._answer(connection, channel.declare_queue(queue, passive=True))
        return bool(found.declaration_result.message_count)

    async def _answer(self, connection: Connection, question: Awaitable[T]) -> T:
        """What the broker answers. Raises TimeoutError when nothing at all comes from it any more."""
        asked = asyncio.ensure_future(question)
        try:
            async with asyncio.timeout(_LONGEST_PROBE):
                while not (await asyncio.wait([asked], timeout=_PROBE_DEADLINE))[0]:
                    if connection.heard_at < asyncio.get_running_loop().time() - _PROBE_DEADLINE:
                        raise TimeoutError
            return asked.result()
        finally:
            asked.cancel()

    def _cancelled(self, *_: object) -> None:
        self._broken.set()

    def _taker(self, queue: str) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        busy = self._busy

        async def take(message: AbstractIncomingMessage) -> None:
            if self._closing:  # nobody would wait for its end: it stays the broker's
                return
            self._heard[queue] = asyncio.get_running_loop().time()
            busy[queue] += 1
            # A task of ours: those of the library are cancelled with their connection, in the middle of a send.
            task = asyncio.create_task(self._handled(queue, message, busy))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return take

    async def _handled(self, queue: str, message: AbstractIncomingMessage, busy: dict[str, int]) -> None:
        try:
            await self._receive(queue, Delivery(message))
        finally:
            busy[queue] -= 1


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
