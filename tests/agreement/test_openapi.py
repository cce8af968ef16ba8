"""The three served OpenAPI documents: valid, complete, and of one voice."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import aiohttp
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from shopflow.kit.service import Application
from shopflow.kit.settings import read
from shopflow.local.ports import free_port

NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AUTH_SERVICE_URL": "http://127.0.0.1:1",
    "ORDER_SERVICE_URL": "http://127.0.0.1:1",
    "AUTH_SERVICE_TOKEN": "x",
    "ORDER_SERVICE_TOKEN": "x",
    "RABBITMQ_URL": "amqp://nobody@127.0.0.1:1/",
    "JWT_SECRET": "only-for-tests-only-for-tests-only",
    "AWS_SES_REGION": "us-east-1",
    "AWS_SES_FROM_EMAIL": "noreply@shopflow.example",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "x",
    "TWILIO_FROM_NUMBER": "+15550001234",
}

MAY_BE_LEFT_OUT = {
    "/notifications/dead-letters/{dead_letter_id}/replay",
    "/notifications/dead-letters/{dead_letter_id}/discard",
}
"""Whose body has nothing but a reason, which may be left out."""

PATHS = {
    "auth": {
        "/auth/register": {"post"},
        "/auth/login": {"post"},
        "/auth/refresh": {"post"},
        "/auth/validate": {"post"},
        "/auth/logout": {"post"},
        "/auth/sessions": {"get"},
        "/auth/sessions/{session_id}": {"delete"},
        "/auth/password": {"post"},
        "/auth/service-tokens/revoke": {"post"},
        "/auth/users": {"get"},
        "/auth/users/{user_id}": {"get", "patch", "delete"},
    },
    "orders": {
        "/orders": {"get", "post"},
        "/orders/{order_id}": {"get"},
        "/orders/{order_id}/status": {"patch"},
        "/orders/{order_id}/history": {"get"},
    },
    "notifications": {
        "/notifications": {"get"},
        "/notifications/{notification_id}": {"get"},
        "/notifications/{notification_id}/attempts": {"get"},
        "/notifications/{notification_id}/resend": {"post"},
        "/notifications/callbacks/ses": {"post"},
        "/notifications/callbacks/twilio": {"post"},
        "/notifications/dead-letters": {"get"},
        "/notifications/dead-letters/replay": {"post"},
        "/notifications/dead-letters/{dead_letter_id}": {"get"},
        "/notifications/dead-letters/{dead_letter_id}/replay": {"post"},
        "/notifications/dead-letters/{dead_letter_id}/discard": {"post"},
    },
}


@pytest.fixture(params=list(PATHS))
async def described(
    request: pytest.FixtureRequest,
    serving: Callable[[Application], Awaitable[str]],
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[str, dict[str, Any]]:
    """A service's name and the document that it serves."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    service: str = request.param
    settings = read(import_module(f"shopflow.{service}.settings").Settings, {**NOWHERE, "PORT": str(free_port())})
    url = await serving(import_module(f"shopflow.{service}.app").build(settings))
    async with http.get(f"{url}/openapi.json") as response:
        return service, await response.json()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_each_document_is_valid_openapi_3_1(described: tuple[str, dict[str, Any]]) -> None:
    _, document = described
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_what_more_is_shown_to_some_still_fits_the_document(described: tuple[str, dict[str, Any]]) -> None:
    service, document = described
    if service == "orders":
        seen = {"from": None, "to": "pending", "role": "customer", "at": "2026-02-17T11:00:00.000Z"}
        asked = {"actor_id": "a", "reason": None, "trace_id": None}
        answered = document["paths"]["/orders/{order_id}/history"]["get"]["responses"]["200"]["content"]
        schema = {**answered["application/json"]["schema"], "components": document["components"]}
        pagination = {"page": 1, "limit": 20, "total_items": 1, "total_pages": 1}
        for entry in (seen, seen | asked):
            OAS31Validator(schema).validate({"data": [entry], "pagination": pagination})


def test_each_document_has_every_path_and_method(described: tuple[str, dict[str, Any]]) -> None:
    service, document = described
    common = {path: {"get"} for path in ("/health", "/ready", "/metrics")}
    assert {path: set(item) for path, item in document["paths"].items()} == PATHS[service] | common


def test_each_operation_says_what_it_does_and_how_it_refuses(described: tuple[str, dict[str, Any]]) -> None:
    _, document = described
    for operation in operations(document):
        assert operation["summary"]
        assert operation["tags"]
        for status, answer in operation["responses"].items():
            if status >= "400" and operation["summary"] != "What this service can do right now":
                assert list(answer["content"]) == ["application/problem+json"], (operation["operationId"], status)


def test_what_needs_a_token_says_so(described: tuple[str, dict[str, Any]]) -> None:
    _, document = described
    for operation in operations(document):
        by_credentials = operation["summary"] in {"Sign in", "Exchange a refresh token for a new pair"}
        refuses = bool(operation.get("security")) or by_credentials
        assert ("401" in operation["responses"]) == refuses, operation["operationId"]


def test_each_body_has_a_sample_to_try(described: tuple[str, dict[str, Any]]) -> None:
    _, document = described
    for operation in operations(document):
        if "requestBody" in operation and operation["summary"] != "Exchange a refresh token for a new pair":
            assert operation["requestBody"]["content"]["application/json"]["example"], operation["operationId"]


def test_only_what_may_be_left_out_is_described_so(described: tuple[str, dict[str, Any]]) -> None:
    _, document = described
    optional = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if not operation.get("requestBody", {"required": True})["required"]
    }
    assert optional == {path for path in MAY_BE_LEFT_OUT if path in document["paths"]}
