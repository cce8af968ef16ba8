"""Customers and an admin who do not give up: each repeats a request until it knows what came of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from tests.chaos.history import History, Operation, Outcome
from tests.chaos.shop import Shop

from shopflow.orders.bodies import PLACE_ORDER_SAMPLE

PASSWORD = "An0ther-Passw0rd-under-fault"
PATIENCE = 90.0
"""Seconds after which a client gives up and does not know."""
ANSWER_WITHIN = 10.0
BETWEEN = 0.1

Answer = tuple[int | None, Any]


@dataclass
class Person:
    """Somebody with an account."""

    email: str
    phone: str
    id: str = ""
    access: str = ""
    refresh: str = ""

    def contact(self, channel: str) -> str:
        """Where a channel reaches them."""
        return self.email if channel == "email" else self.phone

    @property
    def headers(self) -> dict[str, str]:
        """What makes a request theirs."""
        return {"Authorization": f"Bearer {self.access}"}


@dataclass
class People:
    """Makes clients and lets them act; every step goes into the history."""

    shop: Shop
    history: History
    patience: float = PATIENCE
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def customer(self) -> Person:
        """A new customer, signed in."""
        person = self.stranger()
        await self.register(person)
        await self.sign_in(person)
        person.id = str(await self.shop.pools["auth"].fetchval("SELECT id FROM users WHERE email = $1", person.email))
        return person

    async def admin(self) -> Person:
        """A new admin, signed in."""
        person = self.stranger()
        await self.register(person)
        await self.shop.pools["auth"].execute("UPDATE users SET role = 'admin' WHERE email = $1", person.email)
        await self.sign_in(person)
        return person

    def stranger(self) -> Person:
        """Somebody without an account."""
        number = next(self._numbers)
        return Person(f"chaos{number}@example.com", f"+1555{number:07d}")

    async def register(self, person: Person) -> Operation:
        """Make the account; after an answer that was lost, "taken" says that it is there."""
        operation = self.history.begin("register", person.email, person.email)
        self.history.secrets.add(PASSWORD)
        names = {"first_name": "Jane", "last_name": "Doe", "phone": person.phone}
        body = {"email": person.email, "password": PASSWORD, **names}
        await self._insist(operation, "POST", "auth", "/auth/register", body, done={201}, once_done={409})
        return operation

    async def sign_in(self, person: Person) -> Operation:
        """Get a pair of tokens."""
        operation = self.history.begin("sign_in", person.email, person.email)
        body = {"email": person.email, "password": PASSWORD}
        answer = await self._insist(operation, "POST", "auth", "/auth/login", body, done={200})
        self._keep(person, answer)
        return operation

    async def refresh(self, person: Person) -> Operation:
        """Trade the refresh token in; an answer that was lost is asked for again with the same token (A2)."""
        operation = self.history.begin("refresh", person.email, person.refresh[-12:])
        answer = await self._insist(
            operation, "POST", "auth", "/auth/refresh", {"refresh_token": person.refresh}, done={200}
        )
        self._keep(person, answer)
        return operation

    async def place(self, person: Person, *, key: str | None = None) -> str:
        """Place an order; answers its id, or "" when that is not known."""
        key = key or str(uuid4())
        operation = self.history.begin("place", person.id or person.email, key)
        headers = person.headers | {"Idempotency-Key": key}
        answer = await self._insist(
            operation, "POST", "orders", "/orders", PLACE_ORDER_SAMPLE, done={201}, passing={409}, headers=headers
        )
        operation.result = answer["id"] if answer else None
        return operation.result or ""

    async def advance(self, admin: Person, order_id: str, status: str) -> Operation:
        """Bring an order into its next state; "already there" after a lost answer says that it is."""
        operation = self.history.begin("advance", admin.email, f"{order_id} {status}")
        path = f"/orders/{order_id}/status"
        await self._insist(
            operation, "PATCH", "orders", path, {"status": status}, done={200}, once_done={409}, headers=admin.headers
        )
        return operation

    def _keep(self, person: Person, answer: Any) -> None:
        if answer:
            person.access, person.refresh = answer["access_token"], answer["refresh_token"]
            self.history.secrets |= {person.access, person.refresh}

    async def _insist(
        self,
        operation: Operation,
        method: str,
        service: str,
        path: str,
        body: object,
        *,
        done: set[int],
        once_done: frozenset[int] | set[int] = frozenset(),
        passing: frozenset[int] | set[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Ask until it is known what came of it; answers the body of the good answer.

        `once_done` are statuses that mean "done already" after an answer that was lost; `passing` are worth a repeat.
        """
        deadline = monotonic() + self.patience
        while True:
            began = monotonic()
            status, answer = await self._ask(method, f"{self.shop.url(service)}{path}", body, headers or {})
            operation.asked.append((began, monotonic() - began))
            lost_before = any(each is None or each >= 500 for each in operation.statuses)
            operation.statuses.append(status)
            if status in done or (status in once_done and lost_before):
                operation.outcome = Outcome.DONE
                return answer if status in done else None
            if not _passes(status, answer) and status not in passing:
                operation.outcome = Outcome.REFUSED
                return None
            if monotonic() > deadline:
                operation.outcome = Outcome.UNKNOWN
                return None
            await asyncio.sleep(BETWEEN)

    async def _ask(self, method: str, url: str, body: object, headers: Mapping[str, str]) -> Answer:
        try:
            async with self.shop.http.request(
                method, url, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN)
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None, None


def _passes(status: int | None, answer: Any) -> bool:
    """Whether asking again may help: no answer, a server in trouble, or a 401 that says so of auth (R11)."""
    if status is None or status >= 500 or status == 429:
        return True
    return status == 401 and "authentication-unavailable" in str(answer)


async def until(condition: Callable[[], Any], *, within: float, every: float = 0.1) -> float:
    """Wait until a condition (awaited) holds; answers the seconds it took. Raises TimeoutError."""
    started = monotonic()
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(every)
    return monotonic() - started


def as_uuids(ids: list[str]) -> list[UUID]:
    """Ids as the database takes them."""
    return [UUID(each) for each in ids if each]
