"""What a service may do at the other services: read one order, and nothing else (A10, R7, O-19).

Every path that the services describe is asked with a service's token, those included that are written tomorrow.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from litestar import post

from shopflow.contracts.identity import Caller, Role
from shopflow.kit.answers import JsonResponse
from shopflow.kit.metrics import Metrics
from shopflow.kit.service import Application
from shopflow.kit.settings import read

Serve = Callable[[Application], Awaitable[str]]
MakeDatabase = Callable[[str], Awaitable[str]]

ALLOWED = {("orders", "GET", "/orders/{order_id}"): 404}  # there is no such order, and it may ask
ENVIRONMENT = {
    "RABBITMQ_URL": "amqp://127.0.0.1:9/",
    "ORDER_SERVICE_URL": "http://127.0.0.1:9",
    "AUTH_SERVICE_TOKEN": "a-service-token",
    "ORDER_SERVICE_TOKEN": "a-service-token",
    "AWS_SES_REGION": "us-east-1",
    "AWS_SES_FROM_EMAIL": "shop@example.com",
    "AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:9",
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "secret",
    "TWILIO_FROM_NUMBER": "+15550001234",
    "SHOPFLOW_ENV": "test",
}


@pytest.fixture
async def auth_url(serving: Serve) -> str:
    """An auth-service for which every token is notification-service's."""

    @post("/auth/validate", status_code=200)
    async def validate() -> JsonResponse[Any]:
        return JsonResponse({"valid": True, "user": Caller("notification-service", None, Role.SERVICE)})

    return await serving(
        Application(
            name="auth-service",
            summary="A stand-in.",
            routes=[validate],
            resources=[],
            dependencies=[],
            metrics=Metrics(),
            max_body=1000,
        )
    )


def sample(operation: Mapping[str, Any]) -> Any:
    """The example of an operation's body, if it has one."""
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")


@pytest.mark.row("O-19")
@pytest.mark.parametrize("service", ["orders", "notifications"])
async def test_of_all_paths_a_service_may_only_read_one_order(
    service: str,
    *,
    auth_url: str,
    database_of: MakeDatabase,
    serving: Serve,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sandbox")
    settings = import_module(f"shopflow.{service}.settings").Settings
    environment = ENVIRONMENT | {"DATABASE_URL": await database_of(service), "AUTH_SERVICE_URL": auth_url}
    url = await serving(import_module(f"shopflow.{service}.app").build(read(settings, environment)))
    async with http.get(f"{url}/openapi.json") as described:
        paths = (await described.json())["paths"]
    answered = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            filled = url + re.sub(r"\{\w+\}", str(uuid4()), path)
            headers = {"Authorization": "Bearer a-service-token"}
            async with http.request(method, filled, json=sample(operation), headers=headers) as answer:
                answered[service, method.upper(), path] = answer.status
    assert len(answered) >= 2
    assert answered == {each: ALLOWED.get(each, 403) for each in answered}
    assert {each for each in ALLOWED if each[0] == service} <= answered.keys()
