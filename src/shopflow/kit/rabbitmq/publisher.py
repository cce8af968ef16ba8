"""Publishing to RabbitMQ: persistent, mandatory, and not done before the broker has confirmed (C4)."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from aiormq.exceptions import DeliveryError

from shopflow.kit.rabbitmq.connection import Connection
from shopflow.kit.rabbitmq.link import Link, is_loss

_DEADLINE: Final = 5.0


class BrokerUnavailable(Exception):
    """The broker cannot be reached, or did not confirm in time: it may or may not have the message."""


class Unroutable(Exception):
    """The broker returned the message: no queue is bound to its key."""


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
            async with asyncio.timeout(_DEADLINE):
                await (await self._exchange(exchange)).publish(message, key, mandatory=True)
        except DeliveryError as error:
            self._broken.set()  # a queue or binding is gone: declare everything anew
            raise Unroutable(key) from error
        except Exception as error:
            if not is_loss(error):
                raise
            self._broken.set()
            raise BrokerUnavailable(type(error).__name__) from error

    async def _exchange(self, name: str) -> AbstractExchange:
        channel = self._channel
        if channel is None or not self._up.is_set():
            raise BrokerUnavailable("not connected")
        return await channel.get_exchange(name, ensure=False) if name else channel.default_exchange

    async def _prepare(self, connection: Connection) -> AbstractChannel:
        # Without on_return_raises an unroutable message comes back as a value and would be lost without a word.
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return self._channel

    async def _dismantle(self, connection: Connection) -> None:
        self._channel = None
        await super()._dismantle(connection)
