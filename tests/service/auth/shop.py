"""What the tests of auth-service hold in their hands: the running service, its database, and people in it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol
from uuid import UUID

import aiohttp
import asyncpg

from shopflow.auth.tokens import Tokens

SECRET = "a secret of more than thirty-two bytes"
PASSWORD = "S3cur3P@ssw0rd!"


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers, and the decoded body (None when it is empty)."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.body["type"]).removeprefix("urn:shopflow:problem:")


@dataclass
class Person:
    """Somebody with an account who has signed in."""

    id: str
    email: str
    token: str
    refresh_token: str


@dataclass
class Shop:
    """One running auth-service, asked over HTTP, and its database."""

    url: str
    http: aiohttp.ClientSession
    database_url: str
    database: asyncpg.Pool
    tokens: Tokens
    numbers: "count[int]"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        raw: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request: `body` is sent as JSON, `raw` as it is, `token` as a bearer."""
        sent = {"Content-Type": "application/json"} if body is not None or raw is not None else {}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else raw
        async with self.http.request(method, self.url + path, data=data, headers=sent | dict(headers or {})) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, json.loads(text) if text else None)

    async def register(self, **fields: object) -> Answer:
        """Registers somebody new; a field of None is left out."""
        body = {"email": f"jane{next(self.numbers)}@example.com", "password": PASSWORD} | {
            "first_name": "Jane",
            "last_name": "Doe",
            "phone": "+15551234567",
        }
        return await self.ask(
            "POST", "/auth/register", body={name: value for name, value in (body | fields).items() if value is not None}
        )

    async def login(self, email: str, password: str = PASSWORD) -> Answer:
        return await self.ask("POST", "/auth/login", body={"email": email, "password": password})

    async def refresh(self, refresh_token: object) -> Answer:
        return await self.ask("POST", "/auth/refresh", body={"refresh_token": refresh_token})

    async def validate(self, token: str | None) -> Answer:
        return await self.ask("POST", "/auth/validate", token=token)

    async def person(self, *, admin: bool = False) -> Person:
        """Somebody new who has signed in; admins are made in the database, as the command line does."""
        made = (await self.register()).body
        if admin:
            await self.database.execute("UPDATE users SET role = 'admin' WHERE id = $1", UUID(made["id"]))
        pair = (await self.login(made["email"])).body
        return Person(made["id"], made["email"], pair["access_token"], pair["refresh_token"])

    def service(self, name: str = "notification-service") -> str:
        """A service token as the command line mints it."""
        return self.tokens.service(name, issued=self.now())

    def now(self) -> int:
        """The clock that tokens are judged by."""
        return int(time.time())


class OpenShop(Protocol):
    """Starts auth-service with further variables."""

    async def __call__(self, **variables: str) -> Shop: ...
