"""A connection to RabbitMQ that is kept up.

Connection, channel, topology and consumers are rebuilt as one unit whenever any of them closes (C11). Publisher and
subscriber have connections of their own, so that a blocked publisher never stops consumption (C12).
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelPreconditionFailed

from shopflow.kit import logs
from shopflow.kit.cancellations import none_but_ours
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.connection import Connection

CLOSE_DEADLINE: Final = 1.0
"""Seconds for each step of leaving a broker that may be gone; a stop has ten for everything."""

_CONNECT_DEADLINE: Final = 5.0
_PREPARE_DEADLINE: Final = 15.0
_HEARTBEAT: Final = 10
_BACK_OFF: Final = (0.1, 5.0)  # seconds: the first pause between two tries, and the longest
_STEADY: Final = 10.0  # seconds after which a life of a connection counts as a good one
_LOST: Final = (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError)


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


class Link(ABC):
    """One connection that is kept up: opened in the background, rebuilt whenever something of it closes.

    Args:
        url: the broker, as `amqp://user:password@host:port/vhost`.
        name: what it is for, in logs and metrics and on the broker's side.
        topology: declared each time before anything else.
        metrics: where its state is shown.
        connect: makes the connection, not yet opened, from its URL.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        topology: Declared,
        metrics: Metrics,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        self._url = url
        self._connect = connect
        self._name = name
        self._topology = topology
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._closing = False
        self._said = ""
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
            began = asyncio.get_running_loop().time()
            try:
                with none_but_ours():
                    await self._live()
            except Exception as error:  # noqa: BLE001 - whatever ended a connection, the next one is tried
                self._log.warning(
                    "broker_unreachable",
                    link=self._name,
                    error=type(error).__name__,
                    said=self._said,
                    retry_in=round(pause, 2),
                )
            if self._closing:  # a cancellation that meets a failing connect is swallowed by Python 3.11's wait_for
                return
            if (
                asyncio.get_running_loop().time() - began >= _STEADY
            ):  # one that was lost at once is as bad as none: no tight loop of both
                pause = _BACK_OFF[0]
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, longest)

    async def _live(self) -> None:
        """One life of the connection: from connecting until something of it closes."""
        self._broken.clear()
        url = aio_pika.connection.make_url(self._url, heartbeat=_HEARTBEAT)
        connection = self._connect(url, client_properties={"connection_name": self._name})
        try:
            await connection.connect(timeout=_CONNECT_DEADLINE)
            async with asyncio.timeout(_PREPARE_DEADLINE):
                await self._declare(connection)
                channel = await self._prepare(connection)
            if self._closing:  # the cancellation was swallowed as in _supervise: nothing else would end this life
                return
            self._up.set()
            self._gauge.set(1)
            self._log.info("broker_connected", link=self._name)
            await self._until_lost(connection, channel)
            self._log.warning("broker_lost", link=self._name, said=connection.farewell)
        finally:
            self._up.clear()
            self._gauge.set(0)
            self._said = connection.farewell
            await self._dismantle(connection)

    @abstractmethod
    async def _prepare(self, connection: Connection) -> AbstractChannel:
        """Opens what this link is for; the life of the connection ends with the channel that it answers."""

    async def _dismantle(self, connection: Connection) -> None:
        try:
            await quietly(connection.close(), within=CLOSE_DEADLINE)
        finally:
            connection.abandon()  # who stops us in the middle of a farewell leaves no socket behind either

    async def _until_lost(self, connection: Connection, channel: AbstractChannel) -> None:
        stalled = asyncio.create_task(self._stalled(connection))
        signs = [
            asyncio.ensure_future(connection.closed()),
            asyncio.ensure_future(channel.closed()),
            asyncio.ensure_future(self._broken.wait()),
            stalled,
        ]
        try:
            await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for sign in signs:
                sign.cancel()
            await asyncio.wait([stalled], timeout=CLOSE_DEADLINE)
        if stalled.done() and not stalled.cancelled():
            stalled.result()

    async def _stalled(self, _: Connection) -> None:
        """Returns when the connection is up and no use; a link that cannot know waits for ever."""
        await asyncio.Event().wait()

    async def _declare(self, connection: Connection) -> None:
        """Declares everything; what exists with other arguments is used as it is, with a warning (C13)."""
        channel = await connection.channel()
        for exchange in self._topology.exchanges:
            try:
                await channel.declare_exchange(exchange.name, aio_pika.ExchangeType.TOPIC, durable=True)
            except ChannelPreconditionFailed:
                self._log.warning("exchange_differs", exchange=exchange.name)
                channel = await connection.channel()
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


async def quietly(action: Awaitable[Any], *, within: float) -> None:
    """For what is done to a connection that may be gone already: the broker redelivers, so nothing is lost."""
    try:
        with none_but_ours():
            async with asyncio.timeout(within):
                await action
    except Exception as error:
        if not is_loss(error):
            raise
        logs.logger("rabbitmq").debug("broker_already_gone", error=type(error).__name__)


def is_loss(error: Exception) -> bool:
    """Whether a call failed because the connection did.

    A call that still waits while we close the connection ourselves fails with a bare Exception of aiormq's.
    """
    return isinstance(error, _LOST) or type(error) is Exception
