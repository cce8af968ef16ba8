"""The three services as production runs them, each a process of its own, for input that nobody thought of.

Real PostgreSQL, RabbitMQ and provider clients; rate limits are off and hashes cheap, so that the input and not the
limit decides. What the services say goes to files that are read afterwards.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import asyncpg
from tests.canary import Canary

from shopflow.auth.tokens import Tokens
from shopflow.contracts.events import EventType
from shopflow.contracts.topology import EVENTS_EXCHANGE, ROUTING_KEYS
from shopflow.local import sandbox
from shopflow.local.ports import free_port
from shopflow.orders.bodies import PLACE_ORDER_SAMPLE

SECRET = "a secret of more than thirty-two bytes, for generated input"
PASSWORD = "An0ther-Passw0rd"  # not the sample of the documents, or callers would change their own
JUNK = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl"
CALLERS = ("customer", "admin", "service", "junk", "nobody")

RESTORED = """
UPDATE users SET is_active = true, role = CASE WHEN id = ANY($1::uuid[]) THEN 'admin' ELSE 'customer' END
 WHERE id = ANY($2::uuid[]) OR NOT is_active
"""

MakeDatabase = Callable[[str], Awaitable[str]]


@dataclass
class Process:
    """A service process: where it answers, and what it has said."""

    url: str
    log: Path
    process: asyncio.subprocess.Process

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def leaks(self) -> list[str]:
        """Its log lines that hold a secret."""
        canary = Canary()
        for secret in (SECRET, PASSWORD):
            canary.learn(secret)
        for line in self.log.read_text().splitlines():
            canary.see("log", line)
        return canary.leaks()

    def complaints(self) -> list[dict[str, Any]]:
        """Its log lines about what should not happen, whatever it is asked."""
        return [each for each in self.lines() if each.get("level") in {"error", "critical"}]


@dataclass
class Stand:
    """The running services, and whoever calls them."""

    services: Mapping[str, Process]
    database: asyncpg.Pool
    http: aiohttp.ClientSession
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    people: set[UUID] = field(default_factory=set)
    admins: set[UUID] = field(default_factory=set)

    def url(self, service: str) -> str:
        """Where a service answers."""
        return self.services[service].url

    async def document(self, service: str) -> dict[str, Any]:
        """The OpenAPI document that a service serves."""
        async with self.http.get(self.url(service) + "/openapi.json") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def token(self, caller: str) -> str | None:
        """A bearer token of a new caller of this kind, one of CALLERS; None for nobody."""
        match caller:
            case "nobody":
                return None
            case "junk":
                return JUNK
            case "service":
                return Tokens(SECRET).service("notification-service", issued=int(time()))
            case _:
                return await self._person(admin=caller == "admin")

    async def restore(self) -> None:
        """Makes the callers what they were: admins deactivate, promote and demote whom dice name, callers included.

        Whoever else was deactivated is active again as well: accounts that dice can register are few.
        """
        await self.database.execute(RESTORED, list(self.admins), list(self.people))
        await self.database.execute("DELETE FROM not_before WHERE user_id = ANY($1::uuid[])", list(self.people))
        await self.database.execute(
            "UPDATE refresh_families SET ended_at = NULL, ended_by = NULL WHERE user_id = ANY($1::uuid[])",
            list(self.people),
        )
        await self.database.execute("DELETE FROM service_token_revocations")

    async def _person(self, *, admin: bool) -> str:
        account = {"email": f"fuzz{next(self.numbers)}@example.com", "password": PASSWORD}
        names = {"first_name": "Jane", "last_name": "Doe", "phone": "+15551234567"}
        made = await self._post("/auth/register", account | names)
        self.people.add(UUID(made["id"]))
        if admin:
            self.admins.add(UUID(made["id"]))
            await self.restore()
        token = str((await self._post("/auth/login", account))["access_token"])
        await self._post("/orders", PLACE_ORDER_SAMPLE, service="orders", token=token)  # so that there is mail
        return token

    async def _post(
        self, path: str, body: object, *, service: str = "auth", token: str | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.post(self.url(service) + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


@asynccontextmanager
async def opened(make_database: MakeDatabase, broker_url: str, folder: Path) -> AsyncIterator[Stand]:
    """The services, ready; they are ended with the block."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(sandbox.opened())
        databases = {name: await make_database(name) for name in ("auth", "orders", "notifications")}
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        services: dict[str, Process] = {}
        for name, variables in _environments(databases, broker_url, provider).items():
            urls = {key: services[of].url for key, of in _NEIGHBOURS[name].items()}
            start = _started(name, variables | urls, folder / f"{name}.log", http)
            services[name] = await stack.enter_async_context(start)
        await _park(broker_url)
        pool = await stack.enter_async_context(asyncpg.create_pool(databases["auth"], min_size=1, max_size=2))
        yield Stand(services, pool, http)


async def _park(broker_url: str) -> None:
    """Messages that nobody can handle, so that there is something parked."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
        for number in range(5):
            await exchange.publish(aio_pika.Message(b"%d" % number), ROUTING_KEYS[EventType.ORDER_CREATED])


_NEIGHBOURS = {
    "auth": {},
    "orders": {"AUTH_SERVICE_URL": "auth"},
    "notifications": {"AUTH_SERVICE_URL": "auth", "ORDER_SERVICE_URL": "orders"},
}


def _environments(databases: Mapping[str, str], broker_url: str, provider: str) -> dict[str, dict[str, str]]:
    every = {"SHOPFLOW_ENV": "test", "LOG_LEVEL": "info", "RATE_LIMIT_AUTH": "off", "RATE_LIMIT_ORDERS": "off"}
    own = Tokens(SECRET).service("notification-service", issued=int(time()))
    extras = {
        "auth": {"JWT_SECRET": SECRET, "BCRYPT_COST": "4"},
        "orders": {"RABBITMQ_URL": broker_url},
        "notifications": {
            "RABBITMQ_URL": broker_url,
            "AUTH_SERVICE_TOKEN": own,
            "ORDER_SERVICE_TOKEN": own,
            "AWS_SES_REGION": "us-east-1",
            "AWS_SES_FROM_EMAIL": "shop@example.com",
            "AWS_ENDPOINT_URL_SESV2": provider,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "secret",
            "TWILIO_FROM_NUMBER": "+15550001234",
            "TWILIO_BASE_URL": provider,
        },
    }
    return {name: {**every, "DATABASE_URL": databases[name], **more} for name, more in extras.items()}


@asynccontextmanager
async def _started(
    service: str, variables: Mapping[str, str], log: Path, http: aiohttp.ClientSession
) -> AsyncIterator[Process]:
    port = free_port()
    environment = {"PATH": os.environ["PATH"], **variables, "PORT": str(port)}
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shopflow", service, "serve", env=environment, stdout=out, stderr=out
        )
    found = Process(f"http://127.0.0.1:{port}", log, process)
    try:
        await _ready(found, http)
        yield found
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(service: Process, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while service.process.returncode is None:
            try:
                async with http.get(f"{service.url}/ready") as answer:
                    if (await answer.json())["status"] == "ok":
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise AssertionError(service.log.read_text())
