"""Publishing to RabbitMQ: persistent, mandatory, and not done before the broker has confirmed (C4)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from aiormq.exceptions import DeliveryError, PublishError

from shopflow.kit.cancellations import none_but_ours
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import Declared, Link, is_loss

_DEADLINE: Final = 5.0


class BrokerUnavailable(Exception):
    """The broker cannot be reached, takes nothing for now, or did not confirm: it may or may not have the message."""


class Unroutable(Exception):
    """The broker returned the message: no queue is bound to its key."""


class Publisher(Link):
    """Publishes persistent, mandatory, confirmed messages (C4)."""

    _channel: AbstractChannel | None = None
    _connection: Connection | None = None

    def __init__(
        self,
        url: str,
        *,
        name: str,
        topology: Declared,
        metrics: Metrics,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        super().__init__(url, name=name, topology=topology, metrics=metrics, connect=connect)
        blocked = metrics.gauge("broker_blocked", "Whether the broker takes nothing from us: an alarm.", ("link",))
        blocked.labels(name).set_function(self._blocked)

    async def answers(self) -> bool:
        """Whether something can be published now; for `/ready`."""
        return self._up.is_set() and not self._blocked()

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
            BrokerUnavailable: no connection, an alarm of the broker's, or no confirm within five seconds.
        """
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            headers=dict(headers),
        )
        try:
            with none_but_ours():
                async with asyncio.timeout(_DEADLINE):
                    await (await self._exchange(exchange)).publish(message, key, mandatory=True)
        except PublishError as error:
            self._broken.set()  # a queue or binding is gone: declare everything anew
            raise Unroutable(key) from error
        except DeliveryError as error:  # a queue that is full or has lost its majority
            raise BrokerUnavailable("refused") from error
        except Exception as error:
            if not is_loss(error):
                raise
            if not self._blocked():  # a new connection would be blocked as well, and be one more
                self._broken.set()
            raise BrokerUnavailable(type(error).__name__) from error

    async def waiting(self, queue: str) -> int:
        """How many messages of a queue wait for a consumer.

        Raises:
            BrokerUnavailable: no connection, no answer within five seconds, or no such queue.
        """
        connection = self._connection
        if connection is None or not self._up.is_set():
            raise BrokerUnavailable("not connected")
        try:
            with none_but_ours():
                async with asyncio.timeout(_DEADLINE), connection.channel(publisher_confirms=False) as channel:
                    found = await channel.declare_queue(queue, passive=True)
        except Exception as error:
            if not is_loss(error):
                raise
            raise BrokerUnavailable(type(error).__name__) from error
        return found.declaration_result.message_count or 0

    def _blocked(self) -> bool:
        return self._connection is not None and self._connection.blocked

    async def _exchange(self, name: str) -> AbstractExchange:
        channel = self._channel
        if channel is None or not self._up.is_set():
            raise BrokerUnavailable("not connected")
        if self._blocked():  # it would wait in the socket, where no deadline takes it back
            raise BrokerUnavailable("blocked")
        return await channel.get_exchange(name, ensure=False) if name else channel.default_exchange

    async def _prepare(self, connection: Connection) -> AbstractChannel:
        # Without on_return_raises an unroutable message comes back as a value and would be lost without a word.
        self._connection = connection
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return self._channel

    async def _dismantle(self, connection: Connection) -> None:
        self._channel = self._connection = None
        await super()._dismantle(connection)
