"""One order-service for a test, whoever calls it, and the small ASGI application that stands in for auth-service."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
from litestar import Request, post

from shopflow.contracts.identity import Caller, Role
from shopflow.kit.answers import JsonResponse
from shopflow.kit.metrics import Metrics
from shopflow.kit.service import Application
from shopflow.orders.app import build
from shopflow.orders.settings import Settings

Serve = Callable[[Application], Awaitable[str]]

NOBODY = "http://127.0.0.1:9"
NO_BROKER = "amqp://guest:guest@127.0.0.1:9/"
STORED = """
SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM order_history) AS history,
       (SELECT count(*) FROM outbox) AS events, (SELECT count(*) FROM idempotency_keys) AS keys
"""


@dataclass
class Auth:
    """A stand-in for auth-service: knows the tokens it gave out, and can be told to answer otherwise."""

    callers: dict[str, Caller] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    status: int | None = None
    url: str = NOBODY

    def token(self, role: Role) -> str:
        """The token of a new caller of this role."""
        is_service = role is Role.SERVICE
        caller_id = "notification-service" if is_service else str(uuid4())
        token = f"token-{uuid4().hex}"
        self.callers[token] = Caller(caller_id, None if is_service else "jane.doe@example.com", role)
        return token

    def application(self) -> Application:
        """What answers `POST /auth/validate` as PRD 7.1 says."""

        @post("/auth/validate", status_code=200)
        async def validate(request: Request[Any, Any, Any]) -> JsonResponse[Any]:
            self.asked.append(dict(request.headers))
            if self.status is not None:
                return JsonResponse({}, status_code=self.status)
            caller = self.callers.get(request.headers.get("authorization", "").removeprefix("Bearer "))
            if caller is None:
                return JsonResponse({"type": "urn:shopflow:problem:token-invalid"}, status_code=401)
            return JsonResponse({"valid": True, "user": {"id": caller.id, "email": caller.email, "role": caller.role}})

        return Application(
            name="auth-service",
            summary="A stand-in.",
            routes=[validate],
            resources=[],
            dependencies=[],
            metrics=Metrics(),
            max_body=1000,
        )


@dataclass
class Shop:
    """One order-service, its database, and whoever calls it."""

    url: str
    database: str
    auth: Auth
    http: aiohttp.ClientSession
    customer: str
    stranger: str
    admin: str
    service: str

    async def ask(self, method: str, path: str, token: str | None, *, expect: int, **request: Any) -> Any:
        """The JSON answer of a request, whose status must be `expect`."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers.update(request.pop("headers", {}))
        async with self.http.request(method, self.url + path, headers=headers, **request) as response:
            text = await response.text()
            assert response.status == expect, text
            problem = response.headers["Content-Type"].startswith("application/problem+json")
            assert problem == (expect >= 400)
            return await response.json(content_type=None)

    async def place(self, token: str | None = None, headers: dict[str, str] | None = None, **changes: Any) -> Any:
        """A placed order, the customer's unless another token is given."""
        body = placement(**changes)
        return await self.ask("POST", "/orders", token or self.customer, expect=201, json=body, headers=headers or {})

    async def advance(self, order_id: str, status: str, *, expect: int = 200, **body: Any) -> Any:
        """What the admin's transition answers."""
        path = f"/orders/{order_id}/status"
        return await self.ask("PATCH", path, self.admin, expect=expect, json={"status": status, **body})

    async def rows(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """What the service's database holds."""
        connection = await asyncpg.connect(self.database)
        try:
            return list(await connection.fetch(statement, *parameters))
        finally:
            await connection.close()

    async def stored(self) -> tuple[int, ...]:
        """How many orders, entries of history, events and kept answers there are."""
        [row] = await self.rows(STORED)
        return tuple(row)


def placement(**changes: Any) -> dict[str, Any]:
    """A valid body of POST /orders, the PRD's sample, with changes; a field changed to `...` is left out."""
    body: dict[str, Any] = {
        "items": [
            {
                "product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                "product_name": "Wireless Headphones",
                "quantity": 2,
                "unit_price": 49.99,
            },
            {
                "product_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                "product_name": "USB-C Cable",
                "quantity": 1,
                "unit_price": 12.99,
            },
        ],
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
    return {name: value for name, value in (body | changes).items() if value is not ...}


def settings_of(**changes: Any) -> Settings:
    """Settings of a development service, with changes."""
    values: dict[str, Any] = {
        "database_url": "postgresql://127.0.0.1:9/orders",
        "auth_service_url": NOBODY,
        "auth_service_token": None,
        "auth_service_token_file": None,
        "rabbitmq_url": NO_BROKER,
        "port": 3002,
        "host": "127.0.0.1",
        "log_level": "info",
        "env": "test",
        "cors_origins": (),
        "trusted_proxies": (),
        "internal_port": None,
        "rate_limit_orders": None,
        "rate_limit_storage_url": "memory://",
        "queue_type": "quorum",
        "shutdown_delay": 0,
    }
    return Settings(**values | changes)


async def opened(settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession) -> Shop:
    """An order-service with these settings, and one caller of each role."""
    return Shop(
        url=await serving(build(settings)),
        database=settings.database_url,
        auth=auth,
        http=http,
        customer=auth.token(Role.CUSTOMER),
        stranger=auth.token(Role.CUSTOMER),
        admin=auth.token(Role.ADMIN),
        service=auth.token(Role.SERVICE),
    )
