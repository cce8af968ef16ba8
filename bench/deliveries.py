"""What became of the orders' messages, read afterwards from where they ended: notification-service's table, the
sandbox's mailbox, and order-service's outbox."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Final

import aiohttp
import asyncpg
import msgspec

from bench.shop import Addresses
from bench.traffic import Order, What

TYPES: Final = {"order_created": What.PLACE, "order_shipped": What.SHIP}
CHANNELS: Final = ("email", "sms")
_SETTLED_WITHIN: Final = 60.0

_SENT: Final = """
SELECT order_id::text AS order_id, channel, type, provider_ref FROM notifications WHERE status = 'sent'
"""

_PUBLISHED: Final = """
SELECT extract(epoch FROM published_at - created_at)::float8 * 1000 AS ms
  FROM outbox WHERE created_at BETWEEN to_timestamp($1) AND to_timestamp($2)
"""


class _Accepted(msgspec.Struct):
    """One message in the mailbox."""

    id: str
    received_at: datetime


class Deliveries(msgspec.Struct, frozen=True):
    """Attributes:
    delays: milliseconds from the answer that an order was placed or shipped to the sandbox having accepted the
        message, by type and channel. Below zero: the message was faster than the answer.
    incomplete: how many orders do not have exactly their four messages, each sent and accepted once.
    surplus: how many messages the sandbox has accepted that belong to no order of ours, or are an order's second.
    """

    delays: Mapping[tuple[str, str], list[float]]
    incomplete: int
    surplus: int


async def settled(addresses: Addresses, *, number: int) -> bool:
    """Waits until so many messages have been accepted by the sandbox; False when they have not within a minute."""
    deadline = time.monotonic() + _SETTLED_WITHIN
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            async with session.get(f"{addresses.mailbox}/requests") as response:
                counts = msgspec.json.decode(await response.read(), type=dict[str, dict[str, int]])
            if sum(counts[channel]["accepted"] for channel in CHANNELS) >= number:
                await asyncio.sleep(0.5)  # so that a message too many is seen as well
                return True
            await asyncio.sleep(0.1)
    return False


async def read(addresses: Addresses, orders: Sequence[Order], *, since: float, until: float) -> Deliveries:
    """Where every order's messages are; delays of those answered between two times (seconds since 1970)."""
    accepted = await _mailbox(addresses)
    sent = await _fetch(addresses.postgres["notifications"], _SENT)
    found = Counter(_key(row) for row in sent if row["provider_ref"] in accepted)
    placed = {order.id: order.answered for order in orders if order.id is not None}
    wanted = list(product(placed, TYPES, CHANNELS))
    delays: dict[tuple[str, str], list[float]] = {each: [] for each in product(TYPES, CHANNELS)}
    for row in sent:
        began = placed.get(row["order_id"], {}).get(TYPES[row["type"]], 0.0)
        if since <= began < until and row["provider_ref"] in accepted:
            delays[row["type"], row["channel"]].append((accepted[row["provider_ref"]] - began) * 1000)
    incomplete = {key[0] for key in wanted if found[key] != 1}
    return Deliveries(delays, len(incomplete), len(accepted) - sum(found[key] > 0 for key in wanted))


def _key(row: asyncpg.Record) -> tuple[str, str, str]:
    return row["order_id"], row["type"], row["channel"]


async def publishing(addresses: Addresses, *, since: float, until: float) -> list[float]:
    """Milliseconds from writing each event to its being marked as published, for events written between two times."""
    return [row["ms"] for row in await _fetch(addresses.postgres["orders"], _PUBLISHED, since, until) if row["ms"]]


async def _mailbox(addresses: Addresses) -> dict[str, float]:
    """When each message was accepted, in seconds since 1970, by the id that the provider gave it."""
    url = f"{addresses.mailbox}/messages?content=false"
    async with aiohttp.ClientSession() as session, session.get(url, raise_for_status=True) as response:
        messages = msgspec.json.decode(await response.read(), type=list[_Accepted])
    return {message.id: message.received_at.timestamp() for message in messages}


async def _fetch(url: str, statement: str, *parameters: float) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *parameters))
    finally:
        await connection.close()
