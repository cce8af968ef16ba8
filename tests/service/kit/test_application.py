"""Every service: health, readiness, metrics, OpenAPI, problems, traces, CORS, over real HTTP."""

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any

import aiohttp
import msgspec
import pytest
import structlog
from litestar import get, post
from litestar.params import JSONBody, QueryParameter

from shopflow.kit.answers import json_body, problems
from shopflow.kit.listening import PortTaken
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, not_found, unauthenticated
from shopflow.kit.server import IDLE_WITHIN, running
from shopflow.kit.service import INTERNAL, Application, Dependency
from shopflow.local.ports import free_port

Serve = Callable[[Application], Awaitable[str]]


class Thing(msgspec.Struct):
    """A body to send."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    count: Annotated[int, msgspec.Meta(ge=1)]
    price: Decimal = Decimal("49.90")


def application(*, ready: bool = True, vital: bool = True, origins: tuple[str, ...] = ()) -> Application:
    @post("/things", dto=json_body(Thing), return_dto=None, responses=problems(Kind.INVALID))
    async def make(data: JSONBody[Thing]) -> Thing:
        return data

    @get("/things")
    async def things(
        page: Annotated[int, QueryParameter(ge=1)] = 1,
        colour: Annotated[str | None, QueryParameter(name="scope")] = None,
    ) -> dict[str, int | str | None]:
        return {"page": page, "scope": colour}

    @get("/missing")
    async def missing() -> None:
        raise not_found("thing")

    @get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError

    @get("/inside", opt=INTERNAL)
    async def inside() -> dict[str, str]:
        return {}

    @get("/inside/refused", opt=INTERNAL)
    async def inside_refused() -> None:
        raise unauthenticated("token-invalid", "The token is not valid.")

    async def answers() -> bool:
        return ready

    return Application(
        name="thing-service",
        summary="Things.",
        routes=[make, things, missing, defect, inside, inside_refused],
        resources=[],
        dependencies=[Dependency(name="database", answers=answers, vital=vital)],
        metrics=Metrics(),
        max_body=1000,
        cors_origins=origins,
    )


@pytest.fixture
async def url(serving: Serve) -> str:
    return await serving(application())


JSON = {"Content-Type": "application/json"}


async def problem(response: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    assert response.status == status, await response.text()
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = await response.json(content_type=None)
    assert body["status"] == status
    assert body["type"].startswith("urn:shopflow:problem:")
    assert len(body["trace_id"]) == 32
    return body


async def test_health_answers_exactly_status_ok(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("ready", "vital", "status", "says"),
    [(True, True, 200, "ok"), (False, True, 503, "unavailable"), (False, False, 200, "degraded")],
)
async def test_ready_is_503_without_a_vital_dependency_and_degraded_without_another(
    http: aiohttp.ClientSession, serving: Serve, *, ready: bool, vital: bool, status: int, says: str
) -> None:
    url = await serving(application(ready=ready, vital=vital))
    async with http.get(f"{url}/ready") as response:
        assert (response.status, (await response.json())["status"]) == (status, says)


async def test_metrics_are_prometheus_text_with_the_routes_template(http: aiohttp.ClientSession, url: str) -> None:
    await http.get(f"{url}/things")
    async with http.get(f"{url}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    assert 'shopflow_http_request_seconds_count{method="GET",route="/things",status="200"} 1.0' in text


async def test_openapi_is_3_1_and_shows_decimals_as_numbers_and_problems(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/openapi.json") as response:
        document = await response.json()
    assert document["openapi"].startswith("3.1")
    thing = next(schema for name, schema in document["components"]["schemas"].items() if name.endswith("Thing"))
    assert thing["properties"]["price"]["type"] == "number"
    assert thing["properties"]["name"]["maxLength"] == 5
    assert "application/problem+json" in document["paths"]["/things"]["post"]["responses"]["400"]["content"]


async def test_docs_page_needs_nothing_from_elsewhere(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/docs") as response:
        page = await response.text()
    assert "//" not in page.replace("<!doctype html>", "")
    for part in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        async with http.get(f"{url}/docs/{part}") as response:
            assert response.status == 200


async def test_a_body_with_several_mistakes_is_told_all_of_them_without_their_values(
    http: aiohttp.ClientSession, url: str
) -> None:
    async with http.post(f"{url}/things", json={"name": "far too long", "count": "secret"}) as response:
        body = await problem(response, 400)
    assert body["errors"] == [
        {"field": "name", "rule": "must have at most 5 characters"},
        {"field": "count", "rule": "must be a whole number"},
    ]
    assert "secret" not in str(body)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff", b'{"name":"\\u0000","count":1}', b'{"name":"\\ud800","count":1}', b"\xef\xbb\xbf{}", b"[" * 900,
     b'{"name":"x","count":NaN}', b'{"name":"x","count":1e999}', b"null", b"[]", b'{"name":"x","count":2.0}'],
)  # fmt: skip
async def test_what_is_not_the_json_asked_for_is_a_400(http: aiohttp.ClientSession, url: str, raw: bytes) -> None:
    async with http.post(f"{url}/things", data=raw, headers=JSON) as response:
        await problem(response, 400)


async def test_an_empty_body_is_a_400_that_names_the_body(http: aiohttp.ClientSession, url: str) -> None:
    async with http.post(f"{url}/things") as response:
        body = await problem(response, 400)
    assert body["errors"] == [{"field": "body", "rule": "is required"}]


async def test_decimals_go_out_as_exact_numbers(http: aiohttp.ClientSession, url: str) -> None:
    async with http.post(f"{url}/things", data=b'{"name":"x","count":1,"price":112.97}', headers=JSON) as response:
        assert await response.text() == '{"name":"x","count":1,"price":112.97}'
        assert response.status == 201


async def test_a_query_parameter_out_of_bounds_is_a_400_that_names_it(http: aiohttp.ClientSession, url: str) -> None:
    for value in ("0", "-1", "x", "1.5", "1.0", "1e0", "+1", " 1", "1_0", "0x1", "\u0661", ""):
        async with http.get(f"{url}/things", params={"page": value}) as response:
            body = await problem(response, 400)
        assert body["errors"][0]["field"] == "page"


@pytest.mark.parametrize(("query", "field"), [("page=1&page=1", "page"), ("scope=a&page=1&scope=b", "scope")])
async def test_a_repeated_query_parameter_is_a_400_that_names_it(
    http: aiohttp.ClientSession, url: str, query: str, field: str
) -> None:
    async with http.get(f"{url}/things?{query}") as response:
        body = await problem(response, 400)
    assert body["errors"] == [{"field": field, "rule": "must be given once"}]


async def test_unknown_query_parameters_are_ignored_however_often_they_come(
    http: aiohttp.ClientSession, url: str
) -> None:
    async with http.get(f"{url}/things?page=2&colour=red&colour=blue&scope=1.0") as response:
        assert await response.json() == {"page": 2, "scope": "1.0"}


async def test_a_body_in_broken_chunks_is_a_400_and_no_defect_of_ours(url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"POST /things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_who_sends_too_much_hears_the_413_and_not_a_broken_connection(
    http: aiohttp.ClientSession, url: str
) -> None:
    for size in (2_000, 300_000, 4_000_000):
        for _ in range(5):
            async with http.post(f"{url}/things", data=io.BytesIO(b"x" * size), headers=JSON) as response:
                await problem(response, 413)


async def test_a_body_that_is_too_large_is_a_413(http: aiohttp.ClientSession, url: str) -> None:
    async with http.post(f"{url}/things", data=b'{"name":"' + b"x" * 2000 + b'"}') as response:
        await problem(response, 413)


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "br"}])
async def test_another_content_type_or_a_compressed_body_is_a_415(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> None:
    async with http.post(f"{url}/things", data=b'{"name":"x","count":1}', headers=headers) as response:
        await problem(response, 415)


async def test_unknown_paths_methods_and_things_are_problems_too(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/nowhere") as response:
        await problem(response, 404)
    async with http.get(f"{url}/missing") as response:
        assert (await problem(response, 404))["type"].endswith("thing-not-found")
    async with http.delete(f"{url}/things") as response:
        await problem(response, 405)
        assert "POST" in response.headers["Allow"]


async def test_a_defect_is_a_500_without_its_traceback(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(f"{url}/defect") as response:
        body = await problem(response, 500)
    assert "ZeroDivision" not in str(body)


@pytest.mark.parametrize(
    ("path", "level", "line"),
    [
        ("/things", "info", {"route": "/things", "status": 200}),
        ("/missing", "info", {"route": "/missing", "status": 404, "problem": "thing-not-found"}),
        ("/defect", "warning", {"route": "/defect", "status": 500, "problem": "internal-error"}),
        ("/inside", "debug", {"route": "/inside", "status": 200}),
        ("/inside/refused", "debug", {"route": "/inside/refused", "status": 401, "problem": "token-invalid"}),
        ("/inside/unknown", "info", {"route": "unmatched", "status": 404, "problem": "path-not-found"}),
    ],
)
async def test_a_request_is_one_log_line_that_names_its_problem(
    http: aiohttp.ClientSession, url: str, *, path: str, level: str, line: dict[str, Any]
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with http.get(f"{url}{path}") as response:
            await response.read()
    [request] = [each for each in lines if each["event"] == "request"]
    assert request.pop("ms") >= 0
    assert request == {"event": "request", "component": "http", "log_level": level, "method": "GET", **line}


async def test_head_is_answered_as_get_without_a_body(http: aiohttp.ClientSession, url: str) -> None:
    async with http.head(f"{url}/health") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_problem_carries_the_callers_trace(http: aiohttp.ClientSession, url: str) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with http.get(f"{url}/missing", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}) as response:
        assert (await problem(response, 404))["trace_id"] == trace
    async with http.get(f"{url}/missing", headers={"traceparent": "00-nonsense"}) as response:
        assert (await problem(response, 404))["trace_id"] != trace


async def test_cors_answers_the_configured_origin_and_never_on_internal_paths(
    http: aiohttp.ClientSession, serving: Serve
) -> None:
    url = await serving(application(origins=("https://shop.example",)))
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    async with http.options(f"{url}/things", headers=headers) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    async with http.get(f"{url}/things", headers={"Origin": "https://evil.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    for path in ("/inside", "/health", "/metrics"):
        async with http.get(url + path, headers=headers) as response:
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_port_that_is_taken_is_named() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=str(port)):
        async with running(application(), host="127.0.0.1", port=port):
            pass


async def test_a_stop_does_not_wait_for_idle_connections() -> None:
    port = free_port()
    async with asyncio.timeout(IDLE_WITHIN - 2):
        async with running(application(), host="127.0.0.1", port=port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
