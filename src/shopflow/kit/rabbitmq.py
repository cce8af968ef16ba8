"""RabbitMQ: supervised connections, confirmed publishing, manual acknowledgement. The only file that imports AMQP.

A `Link` rebuilds connection, channel, topology and consumers as one unit whenever any of them closes (C11). Publisher
and subscriber have connections of their own, so that a blocked publisher never stops consumption (C12).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aiormq.exceptions import AMQPError, ChannelPreconditionFailed, DeliveryError

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics

_CONNECT_DEADLINE: Final = 5.0
_PREPARE_DEADLINE: Final = 15.0
_PUBLISH_DEADLINE: Final = 5.0
_SETTLE_DEADLINE: Final = 2.0
_CLOSE_DEADLINE: Final = 1.0  # for each step of leaving a broker that may be gone; a stop has ten seconds for all
_HEARTBEAT: Final = 10
_MOST_HEADERS: Final = 64 * 1024  # bytes: half of the frame that RabbitMQ takes headers in
_BACK_OFF: Final = (0.1, 5.0)  # seconds: the first pause between two tries, and the longest
_LOST: Final = (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError)


class BrokerUnavailable(Exception):
    """The broker cannot be reached, or did not confirm in time: it may or may not have the message."""


class Unroutable(Exception):
    """The broker returned the message: no queue is bound to its key."""


class Named(Protocol):
    """An exchange to declare."""

    @property
    def name(self) -> str: ...


class NamedQueue(Named, Protocol):
    """A queue to declare."""

    @property
    def arguments(self) -> Mapping[str, str | int]: ...


class Bound(Protocol):
    """A binding to declare."""

    @property
    def queue(self) -> str: ...
    @property
    def exchange(self) -> str: ...
    @property
    def key(self) -> str: ...


class Declared(Protocol):
    """What must exist on the broker; all of it durable, exchanges of type topic."""

    @property
    def exchanges(self) -> Sequence[Named]: ...
    @property
    def queues(self) -> Sequence[NamedQueue]: ...
    @property
    def bindings(self) -> Sequence[Bound]: ...


class Link:
    """One connection that is kept up: opened in the background, rebuilt whenever something of it closes.

    Args:
        url: the broker, as `amqp://user:password@host:port/vhost`.
        name: what it is for, in logs and metrics and on the broker's side.
        topology: declared each time before anything else.
        metrics: where its state is shown.
    """

    def __init__(self, url: str, *, name: str, topology: Declared, metrics: Metrics) -> None:
        self._url = url
        self._name = name
        self._topology = topology
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._log = logs.logger("rabbitmq")
        self._gauge = metrics.gauge("broker_connected", "Whether a connection to the broker is up.", ("link",)).labels(
            name
        )

    async def open(self) -> None:
        """Starts connecting; does not wait for it, since a service starts without its broker too (B-1)."""
        self._task = asyncio.create_task(self._supervise(), name=f"rabbitmq-{self._name}")

    async def close(self) -> None:
        """Closes the connection and stops rebuilding it."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def answers(self) -> bool:
        """Whether the connection is up; for `/ready`."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Returns once the connection is up."""
        await self._up.wait()

    async def _supervise(self) -> None:
        pause, longest = _BACK_OFF
        while True:
            try:
                await self._live()
                pause = _BACK_OFF[0]
            except Exception as error:  # noqa: BLE001 - whatever ended a connection, the next one is tried
                self._log.warning(
                    "broker_unreachable", link=self._name, error=type(error).__name__, retry_in=round(pause, 2)
                )
            if self._closing:  # a cancellation that meets a failing connect is swallowed by Python 3.11's wait_for
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, longest)

    async def _live(self) -> None:
        """One life of the connection: from connecting until something of it closes."""
        self._broken.clear()
        connection = await aio_pika.connect(
            self._url,
            timeout=_CONNECT_DEADLINE,
            heartbeat=_HEARTBEAT,
            client_properties={"connection_name": self._name},
        )
        try:
            async with asyncio.timeout(_PREPARE_DEADLINE):
                await self._declare(connection)
                channel = await self._prepare(connection)
            if self._closing:  # the cancellation was swallowed as in _supervise: nothing else would end this life
                return
            self._up.set()
            self._gauge.set(1)
            self._log.info("broker_connected", link=self._name)
            await self._until_lost(connection, channel)
            self._log.warning("broker_lost", link=self._name)
        finally:
            self._up.clear()
            self._gauge.set(0)
            await self._dismantle(connection)

    async def _prepare(self, connection: AbstractConnection) -> AbstractChannel:
        raise NotImplementedError

    async def _dismantle(self, connection: AbstractConnection) -> None:
        await _quietly(connection.close(), within=_CLOSE_DEADLINE)

    async def _until_lost(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        signs = [
            asyncio.ensure_future(connection.closed()),
            asyncio.ensure_future(channel.closed()),
            asyncio.ensure_future(self._broken.wait()),
        ]
        try:
            await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for sign in signs:
                sign.cancel()

    async def _declare(self, connection: AbstractConnection) -> None:
        """Declares everything; what exists with other arguments is used as it is, with a warning (C13)."""
        channel = await connection.channel()
        for exchange in self._topology.exchanges:
            await channel.declare_exchange(exchange.name, aio_pika.ExchangeType.TOPIC, durable=True)
        for queue in self._topology.queues:
            try:
                await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
            except ChannelPreconditionFailed:
                self._log.warning("queue_differs", queue=queue.name)
                channel = await connection.channel()
        for binding in self._topology.bindings:
            bound = await channel.get_queue(binding.queue, ensure=False)
            await bound.bind(binding.exchange, binding.key)
        await channel.close()


class Publisher(Link):
    """Publishes persistent, mandatory, confirmed messages (C4)."""

    _channel: AbstractChannel | None = None

    async def publish(
        self, exchange: str, key: str, body: bytes, *, message_id: str, headers: Mapping[str, Any]
    ) -> None:
        """Returns once the broker has confirmed that it keeps the message.

        Args:
            exchange: its name; "" is the default exchange, whose keys are queue names.
            key: the routing key.
            body: JSON.
            message_id: makes the message itself; one publish per id at a time.
            headers: go with it; values that AMQP knows.

        Raises:
            Unroutable: no queue is bound to the key.
            BrokerUnavailable: no connection, or no confirm within five seconds.
        """
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            headers=dict(headers),
        )
        try:
            async with asyncio.timeout(_PUBLISH_DEADLINE):
                await (await self._exchange(exchange)).publish(message, key, mandatory=True)
        except DeliveryError as error:
            self._broken.set()  # a queue or binding is gone: declare everything anew
            raise Unroutable(key) from error
        except Exception as error:
            if not _is_loss(error):
                raise
            self._broken.set()
            raise BrokerUnavailable(type(error).__name__) from error

    async def _exchange(self, name: str) -> AbstractExchange:
        channel = self._channel
        if channel is None or not self._up.is_set():
            raise BrokerUnavailable("not connected")
        return await channel.get_exchange(name, ensure=False) if name else channel.default_exchange

    async def _prepare(self, connection: AbstractConnection) -> AbstractChannel:
        # Without on_return_raises an unroutable message comes back as a value and would be lost without a word.
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return self._channel

    async def _dismantle(self, connection: AbstractConnection) -> None:
        self._channel = None
        await super()._dismantle(connection)


class Delivery:
    """One message handed out by the broker; it stays the broker's until it is acknowledged."""

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message
        self.body = message.body
        self.headers: Mapping[str, Any] = message.headers
        self.message_id = message.message_id
        self.redelivered = bool(message.redelivered)

    async def acknowledge(self) -> None:
        """Tells the broker that the message is dealt with."""
        await _quietly(self._message.ack(), within=_SETTLE_DEADLINE)

    async def hand_back(self) -> None:
        """Tells the broker to deliver the message again."""
        await _quietly(self._message.nack(requeue=True), within=_SETTLE_DEADLINE)


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
        leaving = (_quietly(queue.cancel(tag), within=_CLOSE_DEADLINE) for queue, tag in self._consumers)
        await asyncio.gather(*leaving)
        self._consumers.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_DEADLINE)

    async def _prepare(self, connection: AbstractConnection) -> AbstractChannel:
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


async def _quietly(action: Awaitable[Any], *, within: float) -> None:
    """For what is done to a connection that may be gone already: the broker redelivers, so nothing is lost."""
    try:
        async with asyncio.timeout(within):
            await action
    except Exception as error:
        if not _is_loss(error):
            raise
        logs.logger("rabbitmq").debug("broker_already_gone", error=type(error).__name__)


def _is_loss(error: Exception) -> bool:
    """Whether a call failed because the connection did.

    A call that still waits while we close the connection ourselves fails with a bare Exception of aiormq's.
    """
    return isinstance(error, _LOST) or type(error) is Exception
