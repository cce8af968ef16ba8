"""What a run plays: short acts, each with everything prepared beforehand, so that only the act meets the fault."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import uuid4

from tests.chaos.history import History
from tests.chaos.people import People, Person
from tests.chaos.shop import Shop

Performance: TypeAlias = Callable[[], Awaitable[list[str]]]
"""Plays the act until the clients know what came of it; answers the orders that it was about."""


@dataclass
class Scene:
    """Where acts are played: the shop, its people, and an admin."""

    shop: Shop
    history: History
    people: People
    admin: Person = field(default_factory=lambda: Person("", ""))

    @classmethod
    async def set_up(cls, shop: Shop) -> "Scene":
        """A scene with an admin."""
        history = History()
        people = People(shop, history)
        return cls(shop, history, people, await people.admin())


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


ACTS: dict[str, Callable[[Scene], Awaitable[Performance]]] = {
    "register": registering,
    "refresh": refreshing,
    "place": placing,
    "ship": shipping,
    "retry": retrying,
    "park": parking,
}
