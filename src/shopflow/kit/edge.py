"""What happens to every request before its handler sees it and after it answered, in the one right order.

The head is judged, the client is named, the trace is joined, a place is taken; then the handler; then the metric and
the log line. What is refused here hears it in the same form as everything else.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, cast

from litestar import Litestar
from litestar.enums import HttpMethod
from litestar.types import HTTPScope, Receive, Scope, Send
from litestar.utils.path import normalize_path
from prometheus_client import Histogram

from shopflow.kit import logs, traces
from shopflow.kit.admission import Bounds, Lane, overloaded
from shopflow.kit.answers import methods_of, rendered
from shopflow.kit.cors import Cors
from shopflow.kit.exchange import Exchange
from shopflow.kit.heads import LONGEST_PATH, Head, read_head, refusal
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Problem, not_found
from shopflow.kit.proxies import TrustedProxies, Unreadable

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ALWAYS: Final = "/health"
_OPERATORS: Final = ("/metrics", "/ready", "/openapi.json", "/docs")


class Edge:
    """Stands between the server and the handlers of one application.

    Args:
        litestar: the handlers.
        metrics: where requests are counted.
        bounds: how much is taken on.
        proxies: whose word on the client's address is taken.
        origins: web origins that may call.
        services_paths: paths that only services and operators call: no CORS, and places of their own.
    """

    def __init__(
        self,
        litestar: Litestar,
        *,
        metrics: Metrics,
        bounds: Bounds,
        proxies: TrustedProxies,
        origins: Sequence[str],
        services_paths: frozenset[str],
    ) -> None:
        self._litestar = litestar
        self._bounds = bounds
        self._proxies = proxies
        self._cors, self._no_cors = Cors(origins), Cors(())
        self._services_paths = services_paths
        self._public = Lane(bounds, places=bounds.in_flight)
        self._services = Lane(bounds, places=bounds.between_services)
        self._log = logs.logger("http")
        self._seconds = metrics.histogram(
            "http_request_seconds", "Time from a request's first byte to its answer.", ("method", "route", "status")
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}
        self._shed = metrics.counter("http_requests_shed_total", "Requests refused because too many were in flight.")
        self._unreadable = metrics.counter(
            "forwarded_headers_ignored_total", "X-Forwarded-For headers of trusted proxies that named no address."
        )
        metrics.observed("http_requests_in_flight", "Requests being answered now.", lambda: self.in_flight)

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return self._public.in_flight + self._services.in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, outside: bool = False) -> None:
        """Answers one request.

        Args:
            scope: the request; the server speaks nothing but HTTP.
            receive: the server's.
            send: the server's.
            outside: operators' paths are not there.
        """
        started = perf_counter()
        asked = cast("HTTPScope", scope)
        head = read_head(asked["headers"])
        traces.current.set(traces.joined(head.traceparent, head.tracestate))
        method, path = str(asked["method"]), normalize_path(asked["path"])
        between_services = path in self._services_paths
        lane = self._services if between_services else self._public
        exchange = Exchange(head, cast("dict[str, Any]", asked), receive, send, lane=lane, bounds=self._bounds)
        cors = self._no_cors if between_services else self._cors
        exchange.further = cors.answered(head.origin)
        lane.in_flight += 1
        try:
            if refused := self._refusal(asked, head, path=path, lane=lane, outside=outside):
                await self._refuse(asked, exchange, refused)
            elif method != "OPTIONS" or not await self._told(exchange, head, cors, path):
                self._name_client(asked, head)
                if method == "HEAD":  # answered as its GET, without the body (RFC 9110)
                    asked["method"] = HttpMethod.GET
                await self._litestar(asked, exchange.receive, exchange.send)
        finally:
            lane.in_flight -= 1
            lane.held -= exchange.held
            self._record(asked, method, exchange.status, (exchange.answered or perf_counter()) - started)

    def _refusal(self, scope: HTTPScope, head: Head, *, path: str, lane: Lane, outside: bool) -> Problem | None:
        """Why this request is not served at all, or None."""
        if (refused := refusal(head, version=scope["http_version"], query=scope["query_string"])) is not None:
            return refused
        if _is_unreadable(path) or (outside and (path in _OPERATORS or path.startswith("/docs/"))):
            return not_found("path")
        if lane.is_over and path != _ALWAYS:
            return overloaded()
        return None

    async def _refuse(self, scope: HTTPScope, exchange: Exchange, problem: Problem) -> None:
        cast("dict[str, Any]", scope)["problem"] = problem.code
        status, headers, body = rendered(problem)
        await _answer(exchange, status, headers, body)

    async def _told(self, exchange: Exchange, head: Head, cors: Cors, path: str) -> bool:
        """Answers OPTIONS: a browser's question beforehand, or which methods a path has. False for an unknown path."""
        methods = methods_of(self._litestar, path)
        if not methods:
            return False
        headers = {"Allow": ", ".join(methods)}
        if head.preflight and (allowed := cors.allowed(head.origin)) is not None:
            exchange.further = allowed
        await _answer(exchange, 204, headers, b"")
        return True

    def _name_client(self, scope: HTTPScope, head: Head) -> None:
        """Puts the client where the socket's other end stands, when a trusted proxy says who that is (A18)."""
        peer = scope["client"]
        if not self._proxies or not head.forwarded or peer is None:
            return
        try:
            scope["client"] = (self._proxies.client(peer[0], head.forwarded), peer[1])
        except Unreadable:
            self._unreadable.inc()

    def _record(self, scope: HTTPScope, method: str, status: int, seconds: float) -> None:
        """The metric and the one log line of a request; labels come from fixed sets only."""
        matched: dict[str, Any] = cast("dict[str, Any]", scope)
        route = matched.get("path_template", "unmatched")
        key = (method if method in _METHODS else "other", route, status)
        if (child := self._children.get(key)) is None:
            child = self._children[key] = self._seconds.labels(*key)
        child.observe(seconds)
        if matched.get("problem") == "overloaded":
            self._shed.inc()
        said = {"problem": matched["problem"]} if "problem" in matched else {}
        if (caller := matched.get("user")) is not None:  # whoever a guard has found to be calling
            said["caller"] = caller.id
        self._level(matched, status)(
            "request", method=key[0], route=route, status=status, ms=round(seconds * 1000, 2), **said
        )

    def _level(self, matched: dict[str, Any], status: int) -> Callable[..., Any]:
        """Debug for what a quiet route always answers; a 401 is such an answer, since whoever asked logs it too."""
        if matched.get("problem") == "overloaded":  # the counter says how many; a line for each would add to the load
            return self._log.debug
        if status >= 500:
            return self._log.warning
        quiet = "route_handler" in matched and matched["route_handler"].opt.get("quiet")
        return self._log.debug if quiet and (status < 400 or status == 401) else self._log.info


def _is_unreadable(path: str) -> bool:
    """Whether it is longer than any of ours, holds NUL, or is not UTF-8: the server puts U+FFFD where it is not."""
    return len(path) > LONGEST_PATH or "\0" in path or "\ufffd" in path


async def _answer(exchange: Exchange, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if body:
        raw.append((b"content-length", str(len(body)).encode()))
    await exchange.send({"type": "http.response.start", "status": status, "headers": raw})
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})
