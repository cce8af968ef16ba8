"""The broker of a schedule: a model of what RabbitMQ promises and no more, behind the library's own interface.

Messages are kept once they are routed. What was handed out and not acknowledged comes again when its connection ends,
marked so, and not necessarily in its old place. A connection that ends may have carried a publish or not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aio_pika
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, PublishError
from tests.simulation.loop import OWNER, Process
from tests.simulation.world import World

from shopflow.contracts.topology import EVENTS_EXCHANGE

Take = Callable[[Any], Awaitable[None]]


@dataclass
class Kept:
    """A message in a queue."""

    body: bytes
    headers: Mapping[str, Any]
    message_id: str | None
    routing_key: str
    redelivered: bool = False


@dataclass
class Queue:
    """A queue: what waits in it, how long it may, and who consumes it."""

    name: str
    ttl: float | None = None
    onward: str | None = None
    ready: list[Kept] = field(default_factory=list)
    consumers: list["Consuming"] = field(default_factory=list)


@dataclass
class Consuming:
    """One consumer of one queue."""

    channel: "SimulatedChannel"
    queue: Queue
    take: Take
    held: int = 0


class Returned(PublishError):
    """A message that no queue wanted."""

    def __init__(self) -> None:
        AMQPError.__init__(self, "NO_ROUTE")


class Broker:
    """The server's side."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.queues: dict[str, Queue] = {}
        self.bindings: set[tuple[str, str, str]] = set()
        self.connections: list[SimulatedConnection] = []
        self.is_up = True
        self.is_short_of_memory = False
        self.enqueued: list[str] = []
        self.in_flight = 0
        self.losses = 0

    def connect(self, *_: object, **__: object) -> Any:
        """A connection, not yet opened; to the product it is one of the library's."""
        return SimulatedConnection(self)

    @property
    def holds(self) -> dict[str, int]:
        """How many messages wait in each queue, or are handed out."""
        depths = {queue.name: len(queue.ready) for queue in self.queues.values()}
        for connection in self.connections:
            for each, _ in connection.unsettled.values():
                depths[each.queue.name] += 1
        return depths

    def stop(self, seconds: float) -> None:
        """Is away for a while; what it keeps is durable."""
        self.world.note(f"the broker stops for {seconds:.1f} s")
        self.is_up = False
        for connection in list(self.connections):
            connection.cut()
        self.world.later(seconds, self._start)

    def unbind(self) -> None:
        """Loses the bindings of the events' exchange, as when somebody deletes it."""
        self.world.note("the bindings are gone")
        self.bindings = {each for each in self.bindings if each[0] != EVENTS_EXCHANGE}

    def died(self, process: Process) -> None:
        """A process is no more: its connections end."""
        for connection in list(self.connections):
            if connection.owner is process:
                connection.cut()

    def publish(self, exchange: str, key: str, message: aio_pika.Message) -> None:
        """Keeps a message.

        Raises:
            Returned: no queue is bound to the key.
        """
        names = [key] if not exchange else [queue for at, queue, pattern in sorted(self.bindings) if
                                            at == exchange and _matches(pattern, key)]  # fmt: skip
        queues = [self.queues[name] for name in names if name in self.queues]
        if not queues:
            raise Returned
        if exchange == EVENTS_EXCHANGE:
            self.enqueued.append(message.message_id or "")
        for queue in queues:
            self.enqueue(queue, Kept(message.body, dict(message.headers), message.message_id, key))

    def enqueue(self, queue: Queue, message: Kept) -> None:
        """Puts a message at the end of a queue; from a queue for waiting it goes on in time."""
        queue.ready.append(message)
        if queue.ttl is not None:
            self.world.later(queue.ttl, self._expire, queue, message)
        self.pump(queue)

    def come_again(self, queue: Queue, message: Kept) -> None:
        """Puts back what was handed out."""
        message.redelivered = True
        queue.ready.insert(self.world.dice.randint(0, len(queue.ready)), message)
        self.pump(queue)

    def pump(self, queue: Queue) -> None:
        """Hands out what can be."""
        while queue.ready:
            free = [each for each in queue.consumers if each.held < each.channel.prefetch]
            if not free:
                return
            message = queue.ready.pop(0)
            consumer = self.world.dice.choice(free)
            consumer.channel.connection.hand_out(consumer, message)

    def _expire(self, queue: Queue, message: Kept) -> None:
        if any(each is message for each in queue.ready) and queue.onward is not None:
            queue.ready = [each for each in queue.ready if each is not message]
            self.enqueue(
                self.queues[queue.onward], Kept(message.body, message.headers, message.message_id, queue.onward)
            )

    def _start(self) -> None:
        self.is_up = True


class SimulatedConnection:
    """A client's connection, as the library's."""

    farewell = ""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.world = broker.world
        self.owner = OWNER.get()
        self.is_open = False
        self.unsettled: dict[int, tuple[Consuming, Kept]] = {}
        self._tags = 0
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def blocked(self) -> bool:
        """Whether the broker takes nothing."""
        return self.broker.is_short_of_memory

    @property
    def heard_at(self) -> float:
        """When anything came at last; heartbeats come as long as the connection is up."""
        return self.world.loop.time() if self.is_open else 0.0

    async def connect(self, **_: float) -> None:
        """Opens the connection."""
        await self.ask(self._accepted, what="connects")
        self.is_open = True

    def _accepted(self) -> None:
        if not self.broker.is_up:
            raise ConnectionRefusedError
        if self.owner is not None and self.owner.is_alive:
            self.broker.connections.append(self)

    async def channel(self, *, publisher_confirms: bool = True, on_return_raises: bool = False) -> "SimulatedChannel":  # noqa: ARG002
        """Opens a channel."""
        self.must_be_open()
        return SimulatedChannel(self, confirms=publisher_confirms)

    async def close(self) -> None:
        """Ends the connection."""
        self.abandon()

    def abandon(self) -> None:
        """Ends the connection without a word."""
        if self in self.broker.connections:
            self.cut()

    def closed(self) -> "asyncio.Future[None]":
        """Done when the connection has ended."""
        waiter = self.world.loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def cut(self) -> None:
        """The connection ends for both sides; the broker notices in its time, and then gives to others what it held."""
        if not self.is_open and self not in self.broker.connections:
            return
        self.is_open = False
        if self in self.broker.connections:
            self.broker.connections.remove(self)
        for queue in self.broker.queues.values():
            queue.consumers = [each for each in queue.consumers if each.channel.connection is not self]
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for tag in list(self.unsettled):
            consumer, message = self.unsettled.pop(tag)
            self.broker.in_flight += 1
            self.world.later(self.world.dice.uniform(0, 2), self._come_again, consumer.queue, message)

    def _come_again(self, queue: Queue, message: Kept) -> None:
        self.broker.in_flight -= 1
        self.broker.come_again(queue, message)

    def hand_out(self, consumer: Consuming, message: Kept) -> None:
        """Sends a message to the client."""
        self._tags += 1
        consumer.held += 1
        self.unsettled[self._tags] = (consumer, message)
        self.world.later(self.world.latency(self.world.weather.broker), self._taken, self._tags)

    def _taken(self, tag: int) -> None:
        if tag in self.unsettled and self.owner is not None and self.owner.is_alive:
            consumer, message = self.unsettled[tag]
            self.world.note(f"{self.owner.name} gets {message.message_id} from {consumer.queue.name}")
            self.world.loop.start(self.owner, _called(consumer.take, Incoming(self, tag, message)))

    def settle(self, tag: int, *, again: bool) -> None:
        """The client has acknowledged a message, or handed it back."""
        if tag not in self.unsettled:
            return
        consumer, message = self.unsettled.pop(tag)
        consumer.held -= 1
        self.world.note(f"{message.message_id} is {'handed back' if again else 'acknowledged'}")
        if again:
            self.broker.come_again(consumer.queue, message)
        self.broker.pump(consumer.queue)

    async def ask(self, effect: Callable[[], Any], *, what: str) -> Any:
        """Asks the broker; the connection is cut when the answer gets lost."""
        return await self.world.ask(effect, lost=self._broken, rates=self.world.weather.broker, what=what)

    def _broken(self) -> BaseException:
        """What the library lets those hear who wait for a connection that is lost: an error, or a cancellation."""
        self.cut()
        self.broker.losses += 1
        return asyncio.CancelledError() if self.broker.losses % 2 else ConnectionResetError()

    def must_be_open(self) -> None:
        """Raises what the library raises on a connection that is gone."""
        if not self.is_open:
            raise ChannelInvalidStateError


class SimulatedChannel:
    """A channel, as the library's. Declaring takes no time: what exists already stays as it is."""

    def __init__(self, connection: SimulatedConnection, *, confirms: bool) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.confirms = confirms
        self.prefetch = 0
        self.default_exchange = SimulatedExchange(self, "")

    async def declare_exchange(self, *_: object, **__: object) -> None:
        """Exchanges are there once something is bound to them."""
        self.connection.must_be_open()

    async def declare_queue(self, name: str, *, arguments: Any = None, **_: object) -> Any:
        """Declares a queue, and answers how many messages wait in it."""
        self.connection.must_be_open()
        given = arguments or {}
        ttl = given.get("x-message-ttl")
        made = Queue(name, ttl=None if ttl is None else ttl / 1000, onward=given.get("x-dead-letter-routing-key"))
        queue = self.broker.queues.setdefault(name, made)
        return SimpleNamespace(declaration_result=SimpleNamespace(message_count=len(queue.ready)))

    async def get_queue(self, name: str, *, ensure: bool) -> "SimulatedQueue":  # noqa: ARG002 - as the library's
        """A queue by its name."""
        return SimulatedQueue(self, name)

    async def get_exchange(self, name: str, *, ensure: bool) -> "SimulatedExchange":  # noqa: ARG002 - as the library's
        """An exchange by its name."""
        return SimulatedExchange(self, name)

    async def set_qos(self, *, prefetch_count: int) -> None:
        """How many messages may be handed out."""
        self.prefetch = prefetch_count

    async def get_underlay_channel(self) -> Any:
        """What tells that a consumer was cancelled."""
        return SimpleNamespace(on_consumer_cancel_callbacks=set())

    async def close(self) -> None:
        """Ends the channel; its connection goes on."""

    def closed(self) -> "asyncio.Future[None]":
        """Done when the channel has ended."""
        return self.connection.closed()


class SimulatedQueue:
    """A queue, as the library's."""

    def __init__(self, channel: SimulatedChannel, name: str) -> None:
        self._channel = channel
        self._name = name

    async def bind(self, exchange: str, key: str) -> None:
        """Lets messages of an exchange flow into it."""
        self._channel.connection.must_be_open()
        self._channel.broker.bindings.add((exchange, self._name, key))

    async def consume(self, take: Take) -> str:
        """Begins to consume."""
        connection = self._channel.connection
        connection.must_be_open()
        queue = self._channel.broker.queues[self._name]
        await connection.ask(lambda: self._begin(queue, take), what=f"consumes {self._name}")
        return self._name

    def _begin(self, queue: Queue, take: Take) -> None:
        if self._channel.connection in self._channel.broker.connections:
            queue.consumers.append(Consuming(self._channel, queue, take))
            self._channel.broker.pump(queue)

    async def cancel(self, _: str) -> None:
        """Consumes no more."""
        queue = self._channel.broker.queues[self._name]
        queue.consumers = [each for each in queue.consumers if each.channel is not self._channel]


class SimulatedExchange:
    """An exchange, as the library's."""

    def __init__(self, channel: SimulatedChannel, name: str) -> None:
        self._channel = channel
        self._name = name

    async def publish(self, message: aio_pika.Message, key: str, *, mandatory: bool) -> None:  # noqa: ARG002
        """Returns with the broker's confirm; at once where none was asked for."""
        connection, broker = self._channel.connection, self._channel.broker
        connection.must_be_open()

        def effect() -> None:
            broker.publish(self._name, key, message)

        what = f"publishes {message.message_id} to {key}"
        if self._channel.confirms:
            await connection.ask(effect, what=what)
        else:
            connection.world.loop.create_task(_unheard(connection, effect, what))


class Incoming:
    """A message that was handed out, as the library's."""

    def __init__(self, connection: SimulatedConnection, tag: int, message: Kept) -> None:
        self._connection = connection
        self._tag = tag
        self.body = message.body
        self.headers = dict(message.headers)
        self.message_id = message.message_id
        self.routing_key = message.routing_key
        self.redelivered = message.redelivered

    async def ack(self) -> None:
        """Tells the broker that it is dealt with; there is no answer to that."""
        await self._settle(again=False)

    async def nack(self, *, requeue: bool) -> None:
        """Hands it back."""
        await self._settle(again=requeue)

    async def _settle(self, *, again: bool) -> None:
        connection = self._connection
        connection.must_be_open()
        owner = OWNER.get()
        connection.world.later(connection.world.latency(connection.world.weather.broker), self._arrive, owner, again)
        await asyncio.sleep(0)

    def _arrive(self, owner: Process | None, again: bool) -> None:
        if owner is None or owner.is_alive:
            self._connection.settle(self._tag, again=again)


async def _called(take: Take, message: Incoming) -> None:
    await take(message)


async def _unheard(connection: SimulatedConnection, effect: Callable[[], None], what: str) -> None:
    try:
        await connection.ask(effect, what=what)
    except Exception:  # noqa: BLE001 - without confirms nobody hears of it
        return


def _matches(pattern: str, key: str) -> bool:
    expected, found = pattern.split("."), key.split(".")
    return len(expected) == len(found) and all(a in {"*", b} for a, b in zip(expected, found, strict=True))
