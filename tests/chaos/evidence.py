"""What is found afterwards: every row, queue and message that the checker judges, and how it is read.

Reading changes nothing, but for messages in the parking queue, which come back marked as seen before.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import aio_pika
import asyncpg
from aio_pika.connection import make_url
from aio_pika.exceptions import QueueEmpty
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from tests.chaos.people import as_uuids
from tests.chaos.shop import Shop

from shopflow.contracts.topology import DEAD_LETTER_QUEUE, consumer_topology

MOST_MESSAGES = 1_000_000
CANNOT_TELL = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, AMQPError)
"""What is raised while a server is not there."""


class FoundOrder(NamedTuple):
    """A row of `orders`, with the states of its history in order."""

    id: str
    user_id: str
    status: str
    created_at: datetime
    confirmed_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    history: tuple[tuple[str, datetime], ...]


class FoundEvent(NamedTuple):
    """A row of `outbox`."""

    id: str
    order_id: str
    routing_key: str
    body: bytes
    published: bool


class FoundNotification(NamedTuple):
    """A row of `notifications` with its delivery; `doubts` counts its attempts of which nobody knew the end in time.

    That is for good, or until another one took over, which it may a lease after the beginning and no sooner.
    """

    id: str
    event_id: str
    channel: str
    recipient: str
    body: str
    status: str
    provider_ref: str | None
    error: str | None
    exhausted: bool
    doubts: int


class FoundMessage(NamedTuple):
    """A message that the provider accepted; `notification_id` is an e-mail's tag."""

    id: str
    channel: str
    to: str
    text: str | None
    notification_id: str | None


class FoundToken(NamedTuple):
    """A row of `refresh_tokens`."""

    family_id: str
    sequence: int
    used: bool
    family_ended: bool


@dataclass
class Evidence:
    """Everything that is there after the quiet period."""

    orders: list[FoundOrder] = field(default_factory=list)
    events: list[FoundEvent] = field(default_factory=list)
    received: dict[str, str] = field(default_factory=dict)
    notifications: list[FoundNotification] = field(default_factory=list)
    parked: list[tuple[str, str]] = field(default_factory=list)
    messages: list[FoundMessage] = field(default_factory=list)
    tokens: list[FoundToken] = field(default_factory=list)
    ready: dict[str, int] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)


STATES = ("pending", "confirmed", "shipped", "delivered")

ORDERS = """
SELECT orders.id, user_id, status, created_at, confirmed_at, shipped_at, delivered_at,
       array_agg(to_status) AS states, array_agg(at) AS instants
FROM orders LEFT JOIN order_history ON order_history.order_id = orders.id GROUP BY orders.id
"""
EVENTS = "SELECT event_id, subject_id, routing_key, body, published_at IS NOT NULL AS published FROM outbox"
RECEIVED = "SELECT event_id, outcome FROM inbox"
NOTIFICATIONS = """
SELECT id, event_id, channel, recipient, body, status, provider_ref, error_message, exhausted,
       (SELECT count(*) FROM attempts
        WHERE notification_id = notifications.id
        AND (outcome IS NULL OR outcome = 'in_doubt' OR (code = 'doubled' AND EXISTS (
            SELECT FROM attempts AS other
            WHERE other.notification_id = notifications.id AND other.id <> attempts.id
            AND abs(extract(epoch FROM other.started_at - attempts.started_at)) > 29
        )))) AS doubts
FROM notifications JOIN deliveries ON notification_id = id
"""
TOKENS = """
SELECT family_id, sequence, first_used_at IS NOT NULL AS used, ended_at IS NOT NULL AS family_ended
FROM refresh_tokens JOIN refresh_families ON id = family_id
"""
# An attempt that was overtaken may still be at the provider, whatever its notification says; beyond a lease it is dead.
UNDER_WAY = "SELECT count(*) FROM attempts WHERE outcome IS NULL AND started_at > clock_timestamp() - interval '30 s'"

# What was replayed is on its way again: if it does not arrive, it is lost.
DEAD_LETTERS = "SELECT event_id, reason FROM dead_letters WHERE event_id IS NOT NULL AND state <> 'replayed'"

UNSETTLED = """
SELECT count(*) FROM unnest($1::uuid[]) AS wanted (event_id)
WHERE NOT EXISTS (
    SELECT FROM inbox WHERE inbox.event_id = wanted.event_id
      AND NOT EXISTS (
          SELECT FROM deliveries JOIN notifications ON id = notification_id
          WHERE deliveries.event_id = wanted.event_id AND status = 'queued'
      )
)
"""


async def collected(shop: Shop) -> Evidence:
    """Everything that can be found out about a shop that has come to rest."""
    orders, notifications, auth = (shop.pools[name] for name in ("orders", "notifications", "auth"))
    return Evidence(
        orders=[_order(row) for row in await orders.fetch(ORDERS)],
        events=[FoundEvent(str(row[0]), str(row[1]), *tuple(row)[2:]) for row in await orders.fetch(EVENTS)],
        received={str(row["event_id"]): row["outcome"] for row in await notifications.fetch(RECEIVED)},
        notifications=[
            FoundNotification(str(row[0]), str(row[1]), *tuple(row)[2:])
            for row in await notifications.fetch(NOTIFICATIONS)
        ],
        parked=await parked(shop),
        messages=await _messages(shop),
        tokens=[FoundToken(str(row[0]), *tuple(row)[1:]) for row in await auth.fetch(TOKENS)],
        ready=await ready(shop),
        logs={name: process.log.read_text(errors="replace") for name, process in shop.processes.items()},
    )


def _order(row: Any) -> FoundOrder:
    passed = [each for each in zip(row["states"], row["instants"], strict=True) if each[0] is not None]
    history = tuple(sorted(passed, key=lambda each: (each[1], STATES.index(each[0]))))
    created, confirmed, shipped, delivered = tuple(row)[3:7]
    return FoundOrder(
        str(row["id"]), str(row["user_id"]), row["status"], created, confirmed, shipped, delivered, history
    )


async def _messages(shop: Shop) -> list[FoundMessage]:
    async with shop.http.get(f"{shop.provider}/messages", params={"limit": str(MOST_MESSAGES)}) as answer:
        rows = await answer.json()
    return [
        FoundMessage(row["id"], row["channel"], row["to"], row["text"], next(iter(row["tags"].values()), None))
        for row in rows
    ]


async def parked(shop: Shop) -> list[tuple[str, str]]:
    """The events that are parked, each with the reason: in the queue, and in the table that it is drained into."""
    found = await _in_the_parking_queue(shop)  # first: what moves meanwhile is found twice rather than nowhere
    if await shop.pools["notifications"].fetchval("SELECT to_regclass('dead_letters') IS NOT NULL"):
        found += [(str(row[0]), row[1]) for row in await shop.pools["notifications"].fetch(DEAD_LETTERS)]
    return found


async def _in_the_parking_queue(shop: Shop) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with aio_pika.Connection(make_url(shop.rabbitmq.url)) as connection:  # closed also where it is refused
        await connection.connect()
        channel = await connection.channel()
        try:
            queue = await channel.get_queue(DEAD_LETTER_QUEUE, ensure=True)
        except ChannelNotFoundEntity:
            return found
        while (message := await _next(queue)) is not None:  # unacknowledged, so all of them go back at the end
            found.append((_event_id(message.body), str(message.headers.get("x-shopflow-reason"))))
    return found


async def _next(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage | None:
    try:
        return await queue.get(no_ack=False)
    except QueueEmpty:
        return None


def _event_id(body: bytes) -> str:
    try:
        return str(json.loads(body)["event_id"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"


async def ready(shop: Shop) -> dict[str, int]:
    """How many messages wait in each queue but the parking queue."""
    async with aio_pika.Connection(make_url(shop.rabbitmq.url)) as connection:  # closed also where it is refused
        await connection.connect()
        delays = [float(each) for each in shop.ladder.split(",")]
        names = [each.name for each in consumer_topology("quorum", delays).queues if each.name != DEAD_LETTER_QUEUE]
        return {name: await _depth(connection, name) for name in names}


async def _depth(connection: aio_pika.abc.AbstractConnection, name: str) -> int:
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True)
    except ChannelNotFoundEntity:
        return 0
    await channel.close()
    return queue.declaration_result.message_count or 0


async def settled(shop: Shop, order_ids: list[str]) -> bool:
    """Whether all that these orders have led to so far has come to an end; no, while that cannot be found out."""
    try:
        return await _settled(shop, order_ids)
    except CANNOT_TELL:
        return False


async def _settled(shop: Shop, order_ids: list[str]) -> bool:
    statement = "SELECT event_id, published_at IS NOT NULL AS published FROM outbox WHERE subject_id = ANY ($1::uuid[])"
    rows = await shop.pools["orders"].fetch(statement, as_uuids(order_ids))
    if not all(row["published"] for row in rows):
        return False
    events: list[UUID] = [row["event_id"] for row in rows]
    return await _have_ended(shop, events)


async def _have_ended(shop: Shop, events: list[UUID]) -> bool:
    """Whether each of these events is settled or parked."""
    if await shop.pools["notifications"].fetchval(UNSETTLED, events) == 0:
        return True
    set_aside = {event for event, _ in await parked(shop)}
    remaining = [event for event in events if str(event) not in set_aside]
    return bool(await shop.pools["notifications"].fetchval(UNSETTLED, remaining) == 0)


async def is_quiet(shop: Shop) -> bool:
    """Whether nothing is left to do: nothing to publish, nothing in a queue, nothing queued to be sent or under way."""
    try:
        return await _is_quiet(shop)
    except CANNOT_TELL:
        return False


async def _is_quiet(shop: Shop) -> bool:
    unpublished = await shop.pools["orders"].fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")
    queued = await shop.pools["notifications"].fetchval("SELECT count(*) FROM notifications WHERE status = 'queued'")
    under_way = await shop.pools["notifications"].fetchval(UNDER_WAY)
    if unpublished or queued or under_way:
        return False
    if any((await ready(shop)).values()):
        return False
    events = [row[0] for row in await shop.pools["orders"].fetch("SELECT event_id FROM outbox")]
    return await _have_ended(shop, events)


async def quiet(shop: Shop, *, within: float) -> bool:
    """Wait until nothing is left to do; answers whether that came about in time."""
    try:
        async with asyncio.timeout(within):
            while not await is_quiet(shop):
                await asyncio.sleep(0.3)
    except TimeoutError:
        return False
    return True
