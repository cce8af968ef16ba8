"""An HTTP application from routes and resources: the same for every service.

Owns what lives as long as the application, and the paths that every service has: `/health`, `/ready`, `/metrics`,
`/openapi.json`, `/docs`. What happens to each request around its handler is `kit.edge`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import Receive, Scope, Send

from shopflow import __version__
from shopflow.kit import answers, logs, openapi
from shopflow.kit.admission import Bounds
from shopflow.kit.edge import Edge
from shopflow.kit.loop_lag import LoopLag
from shopflow.kit.metrics import CONTENT_TYPE, Metrics
from shopflow.kit.problems import Problem
from shopflow.kit.proxies import Network, TrustedProxies
from shopflow.kit.queries import StrictQueries

INTERNAL: Final = {**openapi.QUIET, "internal": True}
"""As `openapi.QUIET`, for paths that only services and operators call: they never answer CORS (R68)."""


CLOSE_WITHIN: Final = 4.5
"""Seconds that all resources together may take to close; those that are left then get a last moment each."""

_LAST_MOMENT: Final = 0.1
_DEFAULT_BOUNDS: Final = Bounds()


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
        trusted_proxies: whose word on a client's address is taken.
        bounds: how much it takes on, and how long it waits for clients.
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
        trusted_proxies: Sequence[Network] = (),
        bounds: Bounds = _DEFAULT_BOUNDS,
    ) -> None:
        self.name = name
        self.draining = False
        self.metrics = metrics
        self._resources = (LoopLag(metrics), *resources)
        self._dependencies = tuple(dependencies)
        self._opened = AsyncExitStack()
        self._closed_by: float | None = None
        self._log = logs.logger("http")
        described = [*routes, *self._own_routes()]
        read = openapi.document(name=name, summary=summary, version=__version__, routes=described)
        handlers = [*described, *openapi.pages(name, read)]
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
            logging_config=None,
        )
        self._edge = Edge(
            self.litestar,
            metrics=metrics,
            bounds=bounds,
            proxies=TrustedProxies(trusted_proxies),
            origins=cors_origins,
            services_paths=frozenset(path for each in handlers if each.opt.get("internal") for path in each.paths),
        )

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return self._edge.in_flight

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
        await self._edge(scope, receive, send)

    async def outside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request from outside the internal network, where operators have a port of their own."""
        await self._edge(scope, receive, send, outside=True)

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
