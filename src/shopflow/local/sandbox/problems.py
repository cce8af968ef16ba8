"""Turns what a program asked wrongly of the sandbox into a problem document: field and rule, never the value."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PLACE = re.compile(r"^(?P<rule>.*) - at `\$\.?(?P<field>.*)`$", re.DOTALL)
MISSING = re.compile(r"^Object missing required field `(?P<field>\w+)`")
UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>[^`]*)`")


class Refused(Exception):
    """A request that cannot be served: status, what is wrong, and the field and rule where there is one."""

    def __init__(self, status: int, detail: str, *, field: str | None = None, rule: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = [] if field is None else [{"field": field, "rule": rule or detail}]


def unreadable(problem: msgspec.DecodeError) -> Refused:
    """Translate a decoding failure of a JSON body."""
    if not isinstance(problem, msgspec.ValidationError):
        return Refused(400, "The body is not valid JSON.")
    field, rule = _place(str(problem))
    return Refused(400, "The body does not have the required form.", field=field, rule=rule)


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals, and the framework's own, as problem documents."""
    try:
        return await handler(request)
    except Refused as refused:
        return _document(refused.status, refused.detail, refused.errors)
    except web.HTTPClientError as problem:
        allowed = {"Allow": problem.headers["Allow"]} if "Allow" in problem.headers else {}
        return _document(problem.status, f"{request.method} {request.path}: {problem.reason}", [], allowed)


def _document(
    status: int, detail: str, errors: list[dict[str, str]], headers: dict[str, str] | None = None
) -> web.Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.Response(
        status=status,
        body=msgspec.json.encode({**body, "errors": errors}),
        content_type="application/problem+json",
        headers=headers,
    )


def _place(text: str) -> tuple[str, str]:
    match = PLACE.match(text)
    rule, field = (text, "") if match is None else (match["rule"], match["field"])
    for pattern, name in ((MISSING, "is required"), (UNKNOWN, "is not known here")):
        if (found := pattern.match(rule)) is not None:
            return found["field"], name
    if rule.startswith("Invalid enum value"):
        rule = "must be one of the documented values"
    return field or "body", rule
