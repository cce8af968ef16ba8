"""One notification-service for a test with everything around it: its database, the broker, the providers' sandbox and
its neighbours; and the events that an order-service would publish.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import aio_pika
import aiohttp
import asyncpg
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from tests.service.notifications.neighbours import Auth, Orders

from shopflow.contracts.events import EventType
from shopflow.contracts.identity import Profile, Role
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.contracts.topology import EVENTS_EXCHANGE, PAUSE_DELAY, SUBSCRIPTIONS
from shopflow.notifications.parking import headers_to_replay

CREATED, SHIPPED = SUBSCRIPTIONS
WITHIN = 60
"""Seconds for what comes at once on a quiet machine."""

VERDICTS = re.compile(
    r'^shopflow_messages_total\{queue="(?P<queue>[^"]+)",verdict="(?P<verdict>\w+)"\} (?P<number>\d+)'
)


@dataclass(frozen=True)
class Parked:
    """A message as the service parked it."""

    body: bytes
    headers: dict[str, Any]
    message_id: str
    routing_key: str


@dataclass
class Service:
    """A notification-service at `url`, its database and whoever calls it."""

    url: str
    database: str
    auth: Auth
    http: aiohttp.ClientSession

    async def ask(self, path: str, token: str | None, *, expect: int = 200, **request: Any) -> Any:
        """The JSON answer of GET, whose status must be `expect`."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.get(self.url + path, headers=headers, **request) as response:
            assert response.status == expect, await response.text()
            return await response.json(content_type=None)

    async def rows(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """What the service's database holds or does."""
        connection = await asyncpg.connect(self.database)
        try:
            return list(await connection.fetch(statement, *parameters))
        finally:
            await connection.close()


@dataclass
class Shop(Service):
    """The same with everything around it."""

    broker: AbstractChannel
    orders: Orders
    sandbox: aiohttp.ClientSession

    def customer(self, *, phone: str | None = "+15551234567") -> Profile:
        """A customer whom auth-service knows."""
        at = "2026-02-17T10:30:00.000Z"
        profile = Profile(
            str(uuid4()), "jane.doe@example.com", "Jane", "Doe", phone, Role.CUSTOMER, True, at, at
        )  # fmt: skip
        self.auth.profiles[profile.id] = profile
        return profile

    def order(self, customer: Profile | None = None) -> Order:
        """An order that order-service knows, the PRD's sample, of this customer or a new one."""
        owner = customer or self.customer()
        order = msgspec.structs.replace(SAMPLE, id=str(uuid4()), user_id=owner.id)
        self.orders.orders[order.id] = order
        return order

    async def publish(
        self, body: bytes | Mapping[str, Any], *, key: str = CREATED.routing_key, **properties: Any
    ) -> None:
        """An event, as order-service publishes it."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        exchange = await self.broker.get_exchange(EVENTS_EXCHANGE, ensure=False)
        options: dict[str, Any] = {
            "delivery_mode": aio_pika.DeliveryMode.PERSISTENT,
            "content_type": "application/json",
        } | properties
        await exchange.publish(aio_pika.Message(raw, **options), key)

    async def fail(self, channel: str, mode: str, **how: Any) -> None:
        """Makes a provider fail."""
        async with self.sandbox.post("/faults", json={"channel": channel, "mode": mode, **how}) as answer:
            assert answer.status == 201, await answer.text()

    async def heal(self) -> None:
        """Makes the providers work again."""
        async with self.sandbox.delete("/faults") as answer:
            assert answer.status == 204

    async def messages(self, channel: str | None = None) -> list[dict[str, Any]]:
        """What the customers received."""
        async with self.sandbox.get("/messages", params={"channel": channel} if channel else {}) as answer:
            found: list[dict[str, Any]] = await answer.json()
            return found

    async def requests(self, channel: str) -> int:
        """How many messages a provider was asked to send."""
        async with self.sandbox.get("/requests") as answer:
            return int((await answer.json())[channel]["requests"])

    async def states(self, order: Order) -> dict[str, str]:
        """The status of an order's notifications by type and channel."""
        statement = "SELECT type || '.' || channel AS name, status FROM notifications WHERE order_id = $1"
        return {row["name"]: row["status"] for row in await self.rows(statement, order.id)}

    async def outcomes(self, channel: str) -> list[str | None]:
        """What came of the attempts on a channel, in order."""
        statement = """
            SELECT outcome FROM attempts JOIN notifications ON notifications.id = notification_id
            WHERE channel = $1 ORDER BY started_at
        """
        return [row["outcome"] for row in await self.rows(statement, channel)]

    async def verdicts(self, queue: str = CREATED.queue) -> dict[str, int]:
        """How often the service has come to each verdict about messages of a queue."""
        async with self.http.get(self.url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        found = [match for line in lines if (match := VERDICTS.match(line)) and match["queue"] == queue]
        return {match["verdict"]: int(match["number"]) for match in found}

    async def until_consuming(self) -> None:
        """Waits until the service is ready with all it depends on."""

        async def ready() -> bool:
            async with self.http.get(self.url + "/ready") as answer:
                return bool((await answer.json())["status"] == "ok")

        await until(ready)

    async def until_verdicts(self, queue: str = CREATED.queue, **wanted: int) -> None:
        """Waits until these verdicts were given so often; fails at once when another was, or one too often."""

        async def reached() -> bool:
            given = await self.verdicts(queue)
            assert all(given[name] <= wanted.get(name, 0) for name in given), given
            return given == wanted

        await until(reached)

    async def until_metric(self, line: str) -> None:
        """Waits until the service shows this line among its metrics."""

        async def shown() -> bool:
            async with self.http.get(self.url + "/metrics") as answer:
                return line in (await answer.text()).splitlines()

        await until(shown)

    async def taken(self, queue: str, number: int = 1) -> list[AbstractIncomingMessage]:
        """So many messages of a queue, waited for and removed."""
        source = await self.broker.get_queue(queue)
        found: list[AbstractIncomingMessage] = []
        async with asyncio.timeout(WITHIN):
            while len(found) < number:
                message = await source.get(fail=False, no_ack=True)
                if message is None:
                    await asyncio.sleep(0.02)
                else:
                    found.append(message)
        return found

    async def parked(self, number: int = 1) -> list[Parked]:
        """So many parked messages, waited for in the table that the service keeps them in, and removed from it."""
        found: list[Parked] = []
        async with asyncio.timeout(WITHIN):
            while len(found) < number:
                rows = await self.rows("DELETE FROM dead_letters WHERE state = 'open' RETURNING *")
                found += [_parked(row) for row in sorted(rows, key=lambda row: row["parked_at"])]
                await asyncio.sleep(0.02)
        return found

    async def waiting(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        count = (await self.broker.declare_queue(queue, passive=True)).declaration_result.message_count
        assert count is not None
        return count

    async def hasten(self, queue: str = CREATED.queue, number: int = 1) -> None:
        """Half a minute goes by: paused messages come back as the broker would bring them, and nothing rests."""
        subscription = next(each for each in SUBSCRIPTIONS if each.queue == queue)
        for paused in await self.taken(subscription.wait_queue(PAUSE_DELAY), number):
            await self.rows("UPDATE deliveries SET free_at = now() WHERE free_at < 'infinity'")
            await self.broker.default_exchange.publish(
                aio_pika.Message(paused.body, headers=paused.headers, message_id=paused.message_id), queue
            )

    async def until_all_are_sent(self, *, but: int = 0) -> None:
        """Waits, half a minute after the other, until every notification is sent but for so many that have failed."""
        statement = "SELECT count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'failed')"

        async def sent() -> bool:
            for each in SUBSCRIPTIONS:
                if paused := await self.waiting(each.wait_queue(PAUSE_DELAY)):
                    await self.hasten(each.queue, paused)
            [(queued, failed)] = await self.rows(f"{statement} FROM notifications")
            return (queued, failed) == (0, but)

        await until(sent)


def _parked(row: asyncpg.Record) -> Parked:
    written = msgspec.json.decode(row["headers"])
    ours = {name: value for name, value in written.items() if name.startswith("x-shopflow-")}
    return Parked(row["body"], headers_to_replay(row["headers"].encode()) | ours, row["message_id"], row["routing_key"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(WITHIN):
        while not await condition():
            await asyncio.sleep(0.02)


def event(type_: EventType, order: Order, **changes: Any) -> dict[str, Any]:
    """An event about an order as PRD 5 describes it, with changes to envelope or payload."""
    address = {name: getattr(order.shipping_address, name) for name in ("city", "state", "country")}
    payload: dict[str, Any] = {"order_id": order.id, "user_id": order.user_id}
    if type_ is EventType.ORDER_CREATED:
        payload |= {"status": "pending", "total_amount": 112.97, "currency": "USD", "items_count": 2}
    else:
        payload |= {"status": "shipped", "shipped_at": "2026-02-18T09:30:00.000Z"}
    payload["shipping_address"] = address
    envelope: dict[str, Any] = {
        "event_id": str(uuid4()),
        "event_type": type_,
        "timestamp": "2026-02-17T11:00:00.000Z",
        "version": "1.0",
    }
    for name, value in changes.items():
        (envelope if name in envelope else payload)[name] = value
    return envelope | {"payload": payload}


def created(order: Order, **changes: Any) -> dict[str, Any]:
    """The event of a placed order."""
    return event(EventType.ORDER_CREATED, order, **changes)


def shipped(order: Order, **changes: Any) -> dict[str, Any]:
    """The event of a shipped order."""
    return event(EventType.ORDER_SHIPPED, order, **changes)


SAMPLE = Order(
    id="b2c3d4e5-f6a7-8901-bcde-f12345678901",
    user_id="a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    status=Status.PENDING,
    items=[
        Line("f47ac10b-58cc-4372-a567-0e02b2c3d479", "Wireless Headphones", 2, Decimal("49.99"), Decimal("99.98")),
        Line("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "USB-C Cable", 1, Decimal("12.99"), Decimal("12.99")),
    ],
    shipping_address=Address("742 Evergreen Terrace", "Springfield", "IL", "62704", "US"),
    total_amount=Decimal("112.97"),
    currency="USD",
    notes="Please leave at the front door.",
    confirmed_at=None,
    shipped_at=None,
    delivered_at=None,
    created_at="2026-02-17T11:00:00.000Z",
    updated_at="2026-02-17T11:00:00.000Z",
)
