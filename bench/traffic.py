"""The PRD's peak as calls: orders at an even rate, each with its reads, its token's check and its three transitions.

Owns the schedule and how each call is made and judged. Measuring is the driver's business.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Self, assert_never
from uuid import UUID

import aiohttp
import msgspec

from bench.driver import Arrival, CallFailed
from bench.people import PASSWORD, Person


class What(StrEnum):
    """The kinds of call."""

    VALIDATE = "POST /auth/validate"
    LOGIN = "POST /auth/login"
    PLACE = "POST /orders"
    LIST = "GET /orders"
    READ = "GET /orders/:id"
    CONFIRM = "PATCH /orders/:id/status confirmed"
    SHIP = "PATCH /orders/:id/status shipped"
    DELIVER = "PATCH /orders/:id/status delivered"


STORY: Final = (
    (What.PLACE, 0.0, 0.0),
    (What.VALIDATE, 0.0, 2.0),
    (What.READ, 0.5, 1.5),
    (What.LIST, 0.5, 2.0),
    (What.CONFIRM, 2.0, 3.0),
    (What.SHIP, 3.2, 4.2),
    (What.DELIVER, 4.4, 5.4),
)
"""What belongs to one order: each call comes between so and so many seconds after the placing."""

STORY_SECONDS: Final = STORY[-1][2]

_STATES: Final = {What.CONFIRM: "confirmed", What.SHIP: "shipped", What.DELIVER: "delivered"}

_BEFORE: Final = {What.CONFIRM: What.PLACE, What.SHIP: What.CONFIRM, What.DELIVER: What.SHIP}

_NAMES: Final = ("Wireless Headphones", "USB-C Cable", "Desk Lamp", "Water Bottle", "Notebook, ruled")


def schedule(
    *, orders_per_minute: float, warm_up: float, seconds: float, logins: int, dice: random.Random
) -> list[Arrival]:
    """Every call of one run, fixed before it begins; the same dice give the same schedule.

    One order falls into each slot of `60 / orders_per_minute` seconds, anywhere in it, so that calls meet by chance as
    they do in life while the rate is exact. Calls that come in the `seconds` after the warm-up are measured; orders go
    on being placed until the stories of the last measured ones are over, so that the load is even to the end.
    """
    slot = 60.0 / orders_per_minute
    total = warm_up + seconds + STORY_SECONDS
    arrivals = [
        _arrival(start + dice.uniform(first, last), what, subject, warm_up=warm_up, seconds=seconds)
        for subject in range(round(total / slot))
        for start in ((subject + dice.random()) * slot,)
        for what, first, last in STORY
    ]
    every = seconds / max(logins, 1)
    arrivals += [Arrival(warm_up + (turn + 0.5) * every, What.LOGIN, turn) for turn in range(logins)]
    return sorted(arrivals, key=lambda arrival: arrival.at)


def _arrival(at: float, what: What, subject: int, *, warm_up: float, seconds: float) -> Arrival:
    return Arrival(at, what, subject, measured=warm_up <= at < warm_up + seconds)


def orders_in(arrivals: Sequence[Arrival]) -> int:
    """How many orders a schedule places."""
    return sum(arrival.what == What.PLACE for arrival in arrivals)


class Order:
    """One order on its way: its id and the wall-clock times (seconds since 1970) at which its answers came."""

    def __init__(self) -> None:
        self.answered: dict[What, float] = {}
        self.id: str | None = None
        self._ended = {what: asyncio.Event() for what in (What.PLACE, *_STATES)}

    def end(self, what: What) -> None:
        """A step is over, well or not: the next one need not wait for it any longer."""
        self._ended[what].set()

    async def after(self, what: What) -> None:
        """Returns once a step is over."""
        await self._ended[what].wait()


class Traffic:
    """Makes the calls. A call that needs another's answer waits for it, and its clock runs on meanwhile.

    Args:
        auth: auth-service's URL.
        orders: order-service's URL.
        customers: each places every so-manieth order.
        admins: take turns in advancing them.
        number: how many orders there will be.
    """

    def __init__(
        self, *, auth: str, orders: str, customers: Sequence[Person], admins: Sequence[Person], number: int
    ) -> None:
        self._auth = auth
        self._orders_url = f"{orders}/orders"
        self._customers = customers
        self._admins = admins
        self._bodies = _bodies(random.Random(1))
        self._session: aiohttp.ClientSession | None = None
        self.orders = [Order() for _ in range(number)]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, happy_eyeballs_delay=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def perform(self, arrival: Arrival) -> None:
        """One call. Raises CallFailed when it is answered with another status than it should be, or not at all."""
        subject = arrival.subject
        customer = self._customers[subject % len(self._customers)]
        match what := What(arrival.what):
            case What.LOGIN:
                body = msgspec.json.encode({"email": customer.email, "password": PASSWORD})
                await self._call("POST", f"{self._auth}/auth/login", 200, body=body)
            case What.VALIDATE:
                await self._call("POST", f"{self._auth}/auth/validate", 200, who=customer)
            case What.PLACE:
                await self._place(self.orders[subject], subject, customer)
            case What.LIST:
                await self._call("GET", f"{self._orders_url}?limit=20", 200, who=customer)
            case What.READ:
                await self._call("GET", f"{self._orders_url}/{await self._id(subject)}", 200, who=customer)
            case What.CONFIRM | What.SHIP | What.DELIVER:
                await self._advance(self.orders[subject], subject, what)
            case _:
                assert_never(what)

    async def _place(self, order: Order, subject: int, customer: Person) -> None:
        body = self._bodies[subject % len(self._bodies)]
        try:
            answer = await self._call("POST", self._orders_url, 201, who=customer, body=body)
            order.answered[What.PLACE] = time.time()
            order.id = msgspec.json.decode(answer, type=_Placed).id
        finally:
            order.end(What.PLACE)

    async def _advance(self, order: Order, subject: int, what: What) -> None:
        admin = self._admins[subject % len(self._admins)]
        body = msgspec.json.encode({"status": _STATES[what]})
        try:
            await order.after(_BEFORE[what])
            url = f"{self._orders_url}/{await self._id(subject)}/status"
            await self._call("PATCH", url, 200, who=admin, body=body)
            order.answered[what] = time.time()
        finally:
            order.end(what)

    async def _id(self, subject: int) -> str:
        order = self.orders[subject]
        await order.after(What.PLACE)
        if order.id is None:
            raise CallFailed("its order was not placed")
        return order.id

    async def _call(
        self, method: str, url: str, expected: int, *, who: Person | None = None, body: bytes | None = None
    ) -> bytes:
        if self._session is None:
            raise RuntimeError("traffic is used before it was entered")
        headers = {"Authorization": f"Bearer {who.token}"} if who else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(method, url, headers=headers, data=body) as response:
                answer = await response.read()
        except aiohttp.ClientError as error:
            raise CallFailed(type(error).__name__) from error
        if response.status != expected:
            raise CallFailed(f"status {response.status}")
        return answer


class _Placed(msgspec.Struct):
    id: str


def _bodies(dice: random.Random) -> list[bytes]:
    """Orders of one to four lines, encoded once."""
    return [
        msgspec.json.encode(
            {
                "items": [_line(dice) for _ in range(dice.randint(1, 4))],
                "shipping_address": {
                    "street": "742 Evergreen Terrace",
                    "city": "Springfield",
                    "state": "IL",
                    "zip_code": "62704",
                    "country": "US",
                },
                "currency": "USD",
                "notes": "Please leave at the front door.",
            }
        )
        for _ in range(64)
    ]


def _line(dice: random.Random) -> dict[str, object]:
    return {
        "product_id": str(UUID(int=dice.getrandbits(128))),
        "product_name": dice.choice(_NAMES),
        "quantity": dice.randint(1, 5),
        "unit_price": dice.randint(199, 19_999) / 100,
    }
