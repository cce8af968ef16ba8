"""The orders of a running order-service, for the machine: over HTTP, and what it announces from its database.

The machine is synchronous and runs in a thread; what it asks for happens in the loop that serves.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from tests.machines import playing
from tests.machines.order_machine import Answer, OrderMachine, Subject, cents
from tests.service.orders.shop import Shop, placement

from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Status
from shopflow.orders import order as orders

ANNOUNCED = "SELECT routing_key, subject_id::text AS id FROM outbox WHERE subject_id = ANY($1::uuid[])"


class OverHttp:
    """Five new callers of a service.

    Args:
        shop: the service.
        loop: where it is served.
    """

    def __init__(self, shop: Shop, loop: asyncio.AbstractEventLoop) -> None:
        self._shop = shop
        self._loop = loop
        people = {name: shop.auth.token(Role.CUSTOMER) for name in ("ann", "bob", "cec")}
        self._tokens = {**people, "admin": shop.auth.token(Role.ADMIN), "service": shop.auth.token(Role.SERVICE)}
        self._ids: list[str] = []

    def place(self, caller: str, units: int, key: str | None) -> Answer:
        item = placement()["items"][0] | {"quantity": units}
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._ask(caller, "POST", "/orders", body=placement(items=[item]), headers=headers)
        if answer.id and answer.id not in self._ids:
            self._ids.append(answer.id)
        return answer

    def advance(self, caller: str, order_id: str | None, target: str, believed: str | None) -> Answer:
        tag = "*" if believed == "*" else None if believed is None else orders.tag(Status(believed))
        return self._ask(
            caller,
            "PATCH",
            f"{_path(order_id)}/status",
            body={"status": target},
            headers={"If-Match": tag} if tag else {},
        )

    def read(self, caller: str, order_id: str | None) -> Answer:
        return self._ask(caller, "GET", _path(order_id))

    def history(self, caller: str, order_id: str | None) -> Answer:
        return self._ask(caller, "GET", f"{_path(order_id)}/history")

    def listed(self, caller: str, whose: str | None, state: str | None) -> Answer:
        query = "&".join(
            [*([f"user_id={self._user(whose)}"] if whose else []), *([f"status={state}"] if state else [])]
        )
        return self._ask(caller, "GET", f"/orders?limit=100&{query}")

    def announced(self) -> Counter[tuple[str, str]]:
        rows = asyncio.run_coroutine_threadsafe(self._shop.rows(ANNOUNCED, self._ids), self._loop).result()
        return Counter((row["routing_key"], row["id"]) for row in rows)

    def _user(self, name: str) -> str:
        return self._shop.auth.callers[self._tokens[name]].id

    def _ask(
        self, caller: str, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        asking = self._asked(method, path, body, {"Authorization": f"Bearer {self._tokens[caller]}", **(headers or {})})
        status, answered = asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        return _answer(status, answered) if status < 300 else Answer(status)

    async def _asked(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with self._shop.http.request(method, self._shop.url + path, json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.text())


def _path(order_id: str | None) -> str:
    return f"/orders/{order_id or uuid4()}"


def _answer(status: int, body: dict[str, Any]) -> Answer:
    match body:
        case {"data": [{"to": _}, *_] as entries}:
            return Answer(status, states=tuple(each["to"] for each in entries))
        case {"data": data}:
            return Answer(status, ids=frozenset(each["id"] for each in data))
    transitions = body.get("allowed_transitions")
    return Answer(
        status,
        id=body["id"],
        states=(body["status"],),
        total=cents(body["total_amount"]) if "total_amount" in body else None,
        transitions=None if transitions is None else tuple(transitions),
    )


def play(shop: Shop, loop: asyncio.AbstractEventLoop, *, examples: int, steps: int, dice: int | None = None) -> None:
    """Plays so many sequences, each with new callers; to be run in a thread.

    Without `dice`, a seed, they are the same each time.
    """

    class Wire(OrderMachine):
        def subject(self) -> Subject:
            return OverHttp(shop, loop)

    playing.play(Wire, examples=examples, steps=steps, dice=dice)
