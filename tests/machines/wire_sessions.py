"""Sessions of one user of a running auth-service, for the machine: over HTTP, and older at will in its database.

The machine is synchronous and runs in a thread; what it asks for happens in the loop that serves.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from tests.machines import playing
from tests.machines.session_machine import Pair, SessionMachine, Subject
from tests.machines.session_model import SECOND
from tests.service.auth.shop import Answer, Person, Shop

T = TypeVar("T")

AGED = (
    """
    UPDATE refresh_tokens SET issued_at = issued_at - $1::interval, expires_at = expires_at - $1::interval,
                              first_used_at = first_used_at - $1::interval
     WHERE family_id IN (SELECT id FROM refresh_families WHERE user_id = $2)
    """,
    """
    UPDATE refresh_families SET started_at = started_at - $1::interval, ends_at = ends_at - $1::interval
     WHERE user_id = $2
    """,
)


class OverHttp:
    """One new user.

    Args:
        shop: the service.
        admin: who deactivates.
        loop: where it is served.
    """

    slack = 5 * SECOND

    def __init__(self, shop: Shop, admin: Person, loop: asyncio.AbstractEventLoop) -> None:
        self._shop = shop
        self._admin = admin.token
        self._loop = loop
        self._older = 0
        self._texts: dict[tuple[UUID, int, UUID], str] = {}
        self._user = self._done(shop.register()).body

    def now(self) -> int:
        return int(monotonic() * SECOND) + self._older

    def wait(self, microseconds: int) -> None:
        self._older += microseconds
        self._done(self._age(microseconds))

    def sign_in(self) -> Pair | None:
        answer = self._done(self._shop.login(self._user["email"]))
        assert answer.status in {200, 403}
        return self._pair(answer)

    def show(self, refresh: tuple[UUID, int, UUID]) -> Pair | None:
        answer = self._done(self._shop.refresh(self._texts[refresh]))
        assert answer.status in {200, 401}
        return self._pair(answer)

    def sign_out(self, refresh: tuple[UUID, int, UUID], *, everywhere: bool) -> None:
        body = {"refresh_token": self._texts[refresh], "all": everywhere}
        assert self._done(self._shop.ask("POST", "/auth/logout", body=body)).status == 204

    def activate(self, *, active: bool) -> None:
        path = f"/auth/users/{self._user['id']}"
        assert self._done(self._shop.ask("PATCH", path, body={"is_active": active}, token=self._admin)).status == 200

    def holds(self, access: str) -> bool:
        answer = self._done(self._shop.validate(access))
        assert answer.status in {200, 401}
        return answer.status == 200

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _pair(self, answer: Answer) -> Pair | None:
        if answer.status != 200:
            return None
        text = answer.body["refresh_token"]
        claims = self._shop.tokens.read_refresh(text)
        link = (claims.family, claims.sequence, claims.jti)
        self._texts[link] = text
        return Pair(answer.body["access_token"], link)

    async def _age(self, microseconds: int) -> None:
        for statement in AGED:
            await self._shop.database.execute(statement, timedelta(microseconds=microseconds), UUID(self._user["id"]))


def play(
    shop: Shop, admin: Person, loop: asyncio.AbstractEventLoop, *, examples: int, steps: int, dice: int | None = None
) -> None:
    """Plays so many sequences, each with a new user; to be run in a thread.

    Without `dice`, a seed, they are the same each time.
    """

    class Wire(SessionMachine):
        def subject(self) -> Subject:
            return OverHttp(shop, admin, loop)

    playing.play(Wire, examples=examples, steps=steps, dice=dice)
