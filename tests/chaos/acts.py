"""What a run plays: short acts, each with everything prepared beforehand, so that only the act meets the fault."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID, uuid4

import aio_pika
from tests.chaos.history import History
from tests.chaos.people import People, Person
from tests.chaos.shop import Shop

from shopflow.contracts.topology import EVENTS_EXCHANGE

Performance: TypeAlias = Callable[[], Awaitable[list[str]]]
"""Plays the act until the clients know what came of it; answers the orders that it was about."""


@dataclass
class Scene:
    """Where acts are played: the shop, its people, and an admin.

    `patience` is how many seconds it is waited for what does not settle.
    """

    shop: Shop
    history: History
    people: People
    admin: Person = field(default_factory=lambda: Person("", ""))
    patience: float = 150.0

    @classmethod
    async def set_up(cls, shop: Shop, *, patience: float = 150.0) -> "Scene":
        """A scene with an admin."""
        history = History()
        people = People(shop, history)
        return cls(shop, history, people, await people.admin(), patience)


async def registering(scene: Scene) -> Performance:
    """Somebody makes an account, and can sign in."""
    stranger = scene.people.stranger()

    async def play() -> list[str]:
        await scene.people.register(stranger)
        await scene.people.sign_in(stranger)
        return []

    return play


async def refreshing(scene: Scene) -> Performance:
    """A session is carried on."""
    customer = await scene.people.customer()

    async def play() -> list[str]:
        await scene.people.refresh(customer)
        return []

    return play


async def placing(scene: Scene) -> Performance:
    """An order is placed, and its customer told by e-mail and SMS."""
    customer, key = await scene.people.customer(), str(uuid4())

    async def play() -> list[str]:
        return [await scene.people.place(customer, key=key)]

    return play


async def shipping(scene: Scene) -> Performance:
    """An order is confirmed and shipped, and its customer told."""
    customer = await scene.people.customer()
    order_id = await scene.people.place(customer)

    async def play() -> list[str]:
        for status in ("confirmed", "shipped"):
            await scene.people.advance(scene.admin, order_id, status)
        return [order_id]

    return play


async def retrying(scene: Scene) -> Performance:
    """The first e-mail meets an error of the provider's, and is tried again a little later."""
    customer = await scene.people.customer()
    await scene.shop.fault(channel="email", mode="error", status=500, count=1, to=customer.email)

    async def play() -> list[str]:
        return [await scene.people.place(customer)]

    return play


async def parking(scene: Scene) -> Performance:
    """No e-mail to this customer ever gets through: the event is parked after the last retry."""
    customer = await scene.people.customer()
    await scene.shop.fault(channel="email", mode="error", status=500, to=customer.email)

    async def play() -> list[str]:
        return [await scene.people.place(customer)]

    return play


async def doubling(scene: Scene) -> Performance:
    """While the provider takes its time, the same event comes again and again (E-1)."""
    customer = await scene.people.customer()
    for channel in ("email", "sms"):
        await scene.shop.fault(channel=channel, mode="stall", seconds=2, count=1, to=customer.contact(channel))

    async def play() -> list[str]:
        order_id = await scene.people.place(customer)
        row = await scene.shop.pools["orders"].fetchrow(
            "SELECT event_id, routing_key, body FROM outbox WHERE subject_id = $1", UUID(order_id)
        )
        await _published(scene.shop, row["routing_key"], row["body"], message_id=str(row["event_id"]))
        return [order_id]

    return play


async def _published(shop: Shop, key: str, body: bytes, *, message_id: str) -> None:
    """Copies of one event, within the seconds that its first handling takes."""
    connection = await aio_pika.connect(shop.rabbitmq.url)
    async with connection:
        exchange = await (await connection.channel()).get_exchange(EVENTS_EXCHANGE, ensure=False)
        for _ in range(8):
            await exchange.publish(aio_pika.Message(body, message_id=message_id, content_type="application/json"), key)
            await asyncio.sleep(0.1)


ACTS: dict[str, Callable[[Scene], Awaitable[Performance]]] = {
    "register": registering,
    "refresh": refreshing,
    "place": placing,
    "ship": shipping,
    "retry": retrying,
    "park": parking,
    "double": doubling,
}
