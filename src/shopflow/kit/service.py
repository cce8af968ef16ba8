"""An HTTP application from routes and resources: the same for every service.

Owns the order of what surrounds a handler: trace, clock, metrics and log line outermost, then CORS, then Litestar; and
the paths that every service has: `/health`, `/ready`, `/metrics`, `/openapi.json`, `/docs`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol, cast

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.config.cors import CORSConfig
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Histogram

from shopflow import __version__
from shopflow.kit import answers, logs, openapi, traces
from shopflow.kit.metrics import CONTENT_TYPE, Metrics
from shopflow.kit.problems import Problem
from shopflow.kit.queries import StrictQueries

INTERNAL: Final = {**openapi.QUIET, "internal": True}
"""As `openapi.QUIET`, for paths that only services and operators call: they never answer CORS (R68)."""


CLOSE_WITHIN: Final = 4.5
"""Seconds that all resources together may take to close; those that are left then get a last moment each."""

_LAST_MOMENT: Final = 0.1
_DRAINED: Final = 8 * 1024 * 1024
_DRAIN_WITHIN: Final = 2.0

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Resource(Protocol):
    """Something that is opened before the first request and closed after the last."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """Something this service needs: without a vital one it is not ready, without another it is degraded (R64)."""

    name: str
    answers: Callable[[], Awaitable[bool]]
    vital: bool = False


class Readiness(msgspec.Struct, frozen=True):
    """What a service can do right now, and which of the things it depends on answered."""

    status: str
    checks: dict[str, str]


class Application:
    """One service as an ASGI application.

    Args:
        name: the service's name, such as `order-service`.
        summary: one sentence for the API's page.
        routes: its own handlers.
        resources: opened in this order, closed in reverse.
        dependencies: what `/ready` asks.
        metrics: its metrics.
        max_body: bytes that a request body may have; more is answered 413.
        cors_origins: web origins that may call it from a browser.
    """

    def __init__(
        self,
        *,
        name: str,
        summary: str,
        routes: Sequence[HTTPRouteHandler],
        resources: Sequence[Resource],
        dependencies: Sequence[Dependency],
        metrics: Metrics,
        max_body: int,
        cors_origins: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.in_flight = 0
        self.draining = False
        self.metrics = metrics
        self._resources = tuple(resources)
        self._dependencies = tuple(dependencies)
        self._opened = AsyncExitStack()
        self._closed_by: float | None = None
        self._log = logs.logger("http")
        self._seconds = metrics.histogram(
            "http_request_seconds", "Time from a request's first byte to its answer.", ("method", "route", "status")
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}
        metrics.observed("http_requests_in_flight", "Requests being answered now.", lambda: self.in_flight)
        described = [*routes, *self._own_routes()]
        read = openapi.document(name=name, summary=summary, version=__version__, routes=described)
        handlers = [*described, *openapi.pages(name, read)]
        self._internal_paths = frozenset(path for each in handlers if each.opt.get("internal") for path in each.paths)
        self.litestar = Litestar(
            route_handlers=handlers,
            before_request=StrictQueries(),
            exception_handlers={
                Problem: answers.answer_problem,
                HTTPException: answers.answer_refusal,
                Exception: answers.answer_defect,
            },
            request_max_body_size=max_body,
            response_class=answers.JsonResponse,
            openapi_config=None,
            cors_config=_cors(cors_origins),
            logging_config=None,
        )

    async def open(self) -> None:
        """Opens every resource; when one fails, those before it are closed again."""
        async with AsyncExitStack() as stack:
            for resource in self._resources:
                await resource.open()
                stack.push_async_callback(self._close, resource)
            self._opened = stack.pop_all()

    async def close(self) -> None:
        """Closes every resource, the last one first. One that hangs is left behind: the process ends anyway."""
        self._closed_by = asyncio.get_running_loop().time() + CLOSE_WITHIN
        await self._opened.aclose()

    async def _close(self, resource: Resource) -> None:
        now = asyncio.get_running_loop().time()
        by = self._closed_by or now + CLOSE_WITHIN
        try:
            async with asyncio.timeout_at(max(by, now + _LAST_MOMENT)):
                await resource.close()
        except TimeoutError:
            self._log.warning("resource_not_closed", resource=type(resource).__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        asked = cast("HTTPScope", scope)  # the server speaks nothing but HTTP
        method = str(asked["method"])
        traces.current.set(_trace_of(asked))
        if asked["path"] in self._internal_paths:
            _without_origin(asked)
        if method == "HEAD":  # answered as its GET, without the body (RFC 9110)
            asked["method"] = HttpMethod.GET
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 413:
                    await _drained(receive)
            elif method == "HEAD" and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        self.in_flight += 1
        started = perf_counter()
        try:
            await self.litestar(asked, receive, sending)
        finally:
            self.in_flight -= 1
            self._record(asked, method, status, perf_counter() - started)

    def _record(self, scope: HTTPScope, method: str, status: int, seconds: float) -> None:
        """The metric and the one log line of a request; labels come from fixed sets only."""
        matched: dict[str, Any] = cast("dict[str, Any]", scope)
        route = matched.get("path_template", "unmatched")
        key = (method if method in _METHODS else "other", route, status)
        if (child := self._children.get(key)) is None:
            child = self._children[key] = self._seconds.labels(*key)
        child.observe(seconds)
        said = {"problem": matched["problem"]} if "problem" in matched else {}
        self._level(matched, status)(
            "request", method=key[0], route=route, status=status, ms=round(seconds * 1000, 2), **said
        )

    def _level(self, matched: dict[str, Any], status: int) -> Callable[..., Any]:
        """Debug for what a quiet route always answers; a 401 is such an answer, since whoever asked logs it too."""
        if status >= 500:
            return self._log.warning
        quiet = "route_handler" in matched and matched["route_handler"].opt.get("quiet")
        return self._log.debug if quiet and (status < 400 or status == 401) else self._log.info

    def _own_routes(self) -> list[HTTPRouteHandler]:
        @get("/health", opt=INTERNAL, tags=["Operation"], summary="The process lives")
        async def health() -> dict[str, str]:
            return {"status": "ok"}

        @get(
            "/ready",
            opt=INTERNAL,
            tags=["Operation"],
            summary="What this service can do right now",
            description="200 `ok` or `degraded`; 503 `unavailable` without its own database, or `stopping`.",
            responses={503: ResponseSpec(Readiness, description="Not ready", generate_examples=False)},
        )
        async def ready() -> Response[Readiness]:
            return await self._readiness()

        @get(
            "/metrics",
            opt=INTERNAL,
            tags=["Operation"],
            summary="Metrics in Prometheus text",
            media_type=MediaType.TEXT,
        )
        async def metrics_text() -> Response[bytes]:
            return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

        return [health, ready, metrics_text]

    async def _readiness(self) -> Response[Readiness]:
        answered = await asyncio.gather(*(each.answers() for each in self._dependencies))
        lacking = [each for each, ok in zip(self._dependencies, answered, strict=True) if not ok]
        down = self.draining or any(each.vital for each in lacking)
        status = "stopping" if self.draining else "unavailable" if down else "degraded" if lacking else "ok"
        checks = {each.name: "unavailable" if each in lacking else "ok" for each in self._dependencies}
        return answers.JsonResponse(Readiness(status, checks), status_code=503 if down else 200)


async def _drained(receive: Receive) -> None:
    """Reads on for a moment, so that who sends too much hears the answer instead of a connection that breaks."""
    rest = _DRAINED
    try:
        async with asyncio.timeout(_DRAIN_WITHIN):
            while rest > 0:
                message: Any = await receive()
                rest -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _trace_of(scope: HTTPScope) -> traces.Trace:
    parent = state = None
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parent = value.decode("latin-1")
        elif name == b"tracestate":
            state = value.decode("latin-1")
    return traces.joined(parent, state)


def _without_origin(scope: HTTPScope) -> None:
    """Paths between services answer no browser: without an Origin, nothing adds CORS headers (R68)."""
    scope["headers"] = [header for header in scope["headers"] if header[0] != b"origin"]


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "traceparent", "tracestate"],
        expose_headers=["ETag", "Retry-After", "RateLimit", "RateLimit-Policy"],
        max_age=600,
    )
