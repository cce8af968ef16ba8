"""One schedule: relays and consumers as production puts them together, orders, faults, and the quiet afterwards.

Everything about it follows from its seed. A process that dies is started again, as an orchestrator would do.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from tests.chaos.checker import Violation
from tests.simulation.broker import Broker
from tests.simulation.database import Ground
from tests.simulation.loop import NothingWillHappen, Process
from tests.simulation.outside import Provider, SimulatedChannel, SimulatedDatabase, SimulatedPeer
from tests.simulation.weather import Plan
from tests.simulation.world import World

from shopflow.clients.auth import AuthClient
from shopflow.clients.orders import OrdersClient
from shopflow.contracts.events import EventType
from shopflow.contracts.identity import Profile, Role
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    PAUSE_DELAY,
    RETRY_DELAYS,
    SUBSCRIPTIONS,
    consumer_topology,
    events_topology,
)
from shopflow.kit.consumer import Consumer, Work
from shopflow.kit.credentials import Credential
from shopflow.kit.handlings import Handlings
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.notifications.deliver import Deliver
from shopflow.notifications.message import Renderer
from shopflow.notifications.notification import ChannelName
from shopflow.notifications.react import React
from shopflow.orders import announcement

PATIENCE: Final = 300.0
"""Virtual seconds after the last fault within which everything must have settled: several leases and pauses."""

_LOOK: Final = 1.0
_FAREWELL: Final = 5.0
_AT: Final = "2026-11-23T12:00:00.000Z"
_ADDRESS: Final = Address("1 Long Street", "Springfield", "OR", "97475", "US")


@dataclass
class Parts:
    """What a schedule is made of; a known bug replaces one of them, or a statement."""

    relay: type[Relay] = Relay
    publisher: type[Publisher] = Publisher
    consumer: type[Consumer] = Consumer
    react: type[React] = React
    deliver: type[Deliver] = Deliver
    statement: Callable[[str], str] = field(default=lambda statement: statement)


class Bench:
    """What is made once for many schedules, since it holds nothing of any of them."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.metrics = Metrics()
        self.renderer = Renderer()


@dataclass
class Outcome:
    """What came of a schedule."""

    seed: int
    violations: list[Violation]
    trace: list[str]
    steps: dict[str, int]
    replay: str


class Schedule:
    """Plays one schedule.

    Args:
        bench: shared with others.
        plan: what happens.
        parts: the product's, but for known bugs.
    """

    def __init__(self, bench: Bench, plan: Plan, parts: Parts | None = None) -> None:
        self.bench = bench
        self.plan = plan
        self.parts = parts or Parts()
        self.world = World(plan.dice, plan.weather)
        self.world.on_death = self._died
        self.world.on_freeze = self._froze
        self.broker = Broker(self.world)
        self.provider = Provider(self.world)
        self.orders: list[Order] = []
        self.events: dict[str, tuple[str, str, bytes]] = {}
        self.steps: dict[str, int] = {}
        self.errors: list[str] = []
        self._relays: dict[str, tuple[Process, Relay]] = {}
        self._known: dict[str, dict[str, Any]] = {"auth-service": {}, "order-service": {}}
        self._lives: dict[str, int] = {}
        self._to_come = 0

    def play(self) -> None:
        """Runs the schedule until nothing is left to do, or for too long."""
        with _heard(self.errors), self._repeatable():
            try:
                self.world.loop.run_until_complete(self._run())
            except NothingWillHappen as stuck:
                self.errors.append(str(stuck))
            self.steps |= {each.name: each.steps for each in self.world.loop.processes}
            self.errors += self.world.loop.surprises
            self.world.is_over = True
            self.world.loop.bury()

    @contextmanager
    def _repeatable(self) -> Iterator[None]:
        """The product's own chance, such as the jitter of its pauses, follows the seed as well."""
        state = random.getstate()
        random.seed(self.plan.seed)
        try:
            yield
        finally:
            random.setstate(state)

    async def _run(self) -> None:
        world, plan = self.world, self.plan
        for name in plan.relays:
            self._start(name, self._order_service)
        for name in plan.consumers:
            self._start(name, self._notification_service)
        for at, kinds in plan.placed:
            world.later(at, self._place, kinds)
            self._to_come += 1
        for at in plan.weather.cuts:
            world.later(at, self._cut)
        for at in plan.weather.broker_stops:
            world.later(at, self.broker.stop, world.dice.uniform(0.1, 3.0))
        for at in plan.weather.unbound:
            world.later(at, self.broker.unbind)
        await self._quiet()

    async def _quiet(self) -> None:
        end = self.plan.weather.calm_at + PATIENCE
        stopped = False
        while self.world.loop.time() < end:
            await asyncio.sleep(_LOOK)
            if not stopped and self._is_published():
                stopped = True
                await self._stop_relays()
            if stopped and self._is_quiet():
                return
        self.world.note("it does not come to rest")

    def _is_published(self) -> bool:
        if self._to_come or not self.world.is_calm or self.world.under_way:
            return False
        return self.bench.ground.nothing_waits

    def _is_quiet(self) -> bool:
        waiting = any(depth for name, depth in self.broker.holds.items() if name != DEAD_LETTER_QUEUE)
        return not waiting and not self.broker.in_flight and not self.world.under_way

    async def _stop_relays(self) -> None:
        for process, relay in list(self._relays.values()):
            if process.is_alive and not process.is_frozen:
                await asyncio.wait([self.world.loop.start(process, relay.close())], timeout=_FAREWELL)
            if process.is_alive:
                self.steps[process.name] = process.steps
                self.world.loop.kill(process)
                self.broker.died(process)
        self._relays.clear()

    def _start(self, name: str, work: Callable[[Process], Any]) -> None:
        lives = self._lives[name] = self._lives.get(name, 0) + 1
        deaths = self.plan.weather.deaths.get(name, [])
        process = Process(
            name,
            dies_at=deaths[lives - 1] if len(deaths) >= lives else 0,
            freezes_at=self.plan.weather.freezes.get(name, 0) if lives == 1 else 0,
        )
        process.again = partial(self._start, name, work)
        self.world.loop.add(process)
        self.world.loop.start(process, work(process))
        self.steps.setdefault(name, 0)

    def _died(self, process: Process) -> None:
        self.broker.died(process)
        self.steps[process.name] = process.steps
        self.world.later(self.world.dice.uniform(0.1, 8.0), process.again)

    def _froze(self, process: Process) -> None:
        """The broker misses the heartbeats of who stands still, and gives to others what it held."""
        self.world.later(self.world.dice.uniform(1, 30), self.broker.died, process)

    def _cut(self) -> None:
        if self.broker.connections:
            connection = self.world.dice.choice(self.broker.connections)
            self.world.note(f"a connection of {connection.owner.name if connection.owner else 'nobody'} is cut")
            connection.cut()

    async def _order_service(self, process: Process) -> None:
        publisher = self.parts.publisher(
            "amqp://broker",
            name="orders",
            topology=events_topology("quorum"),
            metrics=self.bench.metrics,
            connect=self.broker.connect,
        )
        database = self._database("orders")
        relay = self.parts.relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=self.bench.metrics)
        self._relays[process.name] = (process, relay)
        await publisher.open()
        await relay.open()

    async def _notification_service(self, process: Process) -> None:
        metrics, database, loop = self.bench.metrics, self._database("notifications"), self.world.loop
        token = Credential("token")
        peers = {name: SimulatedPeer(self.world, name, metrics, known=known) for name, known in self._known.items()}
        channels = {name: SimulatedChannel(self.provider, name) for name in ChannelName}
        deliver = self.parts.deliver(database, channels, metrics=metrics, clock=loop.time)
        react = self.parts.react(
            database,
            auth=AuthClient(peers["auth-service"], service_token=token),
            orders=OrdersClient(peers["order-service"], service_token=token),
            renderer=self.bench.renderer,
            deliverer=deliver,
            metrics=metrics,
        )
        topology = consumer_topology("quorum")
        publisher = self.parts.publisher(
            "amqp://broker", name="copies", topology=topology, metrics=metrics, connect=self.broker.connect
        )
        consumer = self.parts.consumer(
            "amqp://broker",
            works=[
                Work(
                    queue=each.queue,
                    delays=RETRY_DELAYS,
                    pause=PAUSE_DELAY,
                    wait_queue=each.wait_queue,
                    parking_exchange=DEAD_LETTER_EXCHANGE,
                    parking_key=each.dead_letter_key,
                    handle=partial(react.handle, each.event_type),
                )
                for each in SUBSCRIPTIONS
            ],
            topology=topology,
            publisher=publisher,
            metrics=metrics,
            handlings=Handlings(database),
            connect=self.broker.connect,
        )
        process.keeps = (publisher, consumer)
        await publisher.open()
        await consumer.open()

    def _database(self, service: str) -> SimulatedDatabase:
        return SimulatedDatabase(self.world, self.bench.ground, service, rewritten=self.parts.statement)

    def _place(self, kinds: tuple[tuple[EventType, float], ...]) -> None:
        """An order is committed, and later what happens to it, each with its event."""
        world, number = self.world, len(self.orders)
        user, order_id = world.uuid(), str(world.uuid())
        phone = None if world.dice.random() < self.plan.unknown else f"+1555000{number:04d}"
        line = Line(str(world.uuid()), "Lamp", 1, Decimal("12.50"), Decimal("12.50"))
        order = Order(
            order_id, str(user), Status.PENDING, [line], _ADDRESS, line.subtotal, "USD", *(None,) * 4, _AT, _AT
        )  # fmt: skip
        profile = Profile(
            str(user), f"someone{number}@example.test", "Some", "One", phone, Role.CUSTOMER, True, _AT, _AT
        )
        if world.dice.random() >= self.plan.unknown / 5:
            self._known["auth-service"][f"/auth/users/{user}"] = profile
        self._known["order-service"][f"/orders/{order_id}"] = order
        self.orders.append(order)
        self._to_come -= 1
        for kind, after in kinds:
            self._to_come += 1
            world.later(after, self._commit, order, kind)

    def _commit(self, order: Order, kind: EventType) -> None:
        event_id = self.world.uuid()
        if kind is EventType.ORDER_CREATED:
            event = announcement.created(order, event_id=event_id)
        else:
            event = announcement.shipped(
                UUID(order.id), UUID(order.user_id), address=_ADDRESS, shipped_at=_AT, event_id=event_id
            )
        ground = self.bench.ground
        ground.set_time(self.world.loop.time())
        ground.commit(event_id, event.subject_id, event.routing_key, event.body, b"{}")
        self.events[str(event_id)] = (order.id, event.routing_key, event.body)
        self._to_come -= 1
        if self._relays and self.world.dice.random() < 0.8:
            process, relay = self.world.dice.choice(list(self._relays.values()))
            if process.is_alive:
                process.context.copy().run(relay.wake)


@contextmanager
def _heard(errors: list[str]) -> Iterator[None]:
    """What the product says is dropped, but for errors that are none of the simulated faults."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=_listening(errors))
    try:
        yield
    finally:
        structlog.configure(**before)


_SURPRISES: Final = frozenset({"message_failed", "outbox_error", "event_not_publishable"})


def _listening(errors: list[str]) -> type[structlog.BoundLoggerBase]:
    class Listening(structlog.BoundLoggerBase):
        def debug(self, *_: object, **__: object) -> None:
            """Says nothing."""

        info = warning = debug

        def error(self, event: str, **fields: object) -> None:
            """Keeps what nobody provoked."""
            if event in _SURPRISES or fields.get("exc_info") is not None:
                errors.append(f"{event}: {fields.get('exc_info')!r}")

    return Listening
