"""More than can be worked on is refused at once, and what everything depends on is not refused with it."""

import asyncio
from contextlib import AsyncExitStack
from time import perf_counter

import aiohttp
import pytest
from tests.service.kit.stand import JSON, Gate, Serve, application, metric, port_of, told

from shopflow.kit.admission import IN_FLIGHT, Bounds


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_what_there_is_no_place_for_is_a_503_at_once_and_counted(
    serving: Serve, http: aiohttp.ClientSession, gate: Gate
) -> None:
    url = await serving(served := application(gate=gate, bounds=Bounds(in_flight=3)))
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(status(http, f"{url}/waits")) for _ in range(3)]
        await gate.waits_for(3)
        for _ in range(20):
            began = perf_counter()
            async with http.get(f"{url}/things/x") as response:
                problem = await response.json(content_type=None)
            assert perf_counter() - began < 1
            assert (response.status, problem["type"]) == (503, "urn:shopflow:problem:overloaded")
            assert response.headers["Retry-After"] == "1"
            assert response.headers["Content-Type"] == "application/problem+json"
            assert len(problem["trace_id"]) == 32
        for path in ("/health", "/health/", "/metrics", "/ready"):
            assert await status(http, url + path) == 200
        async with http.post(f"{url}/between") as response:
            assert response.status == 201
        gate.opened.set()
    assert [each.result() for each in waiting] == [200, 200, 200]
    assert await status(http, f"{url}/things/x") == 200
    assert metric(served, "shopflow_http_requests_shed_total") == 20


async def test_a_body_that_is_waited_for_takes_no_place(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(served := application(bounds=Bounds(in_flight=2)))
    async with AsyncExitStack() as stack:
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            stack.callback(writer.close)
            writer.write(b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{")
        async with asyncio.timeout(10):
            while served.in_flight < 10:
                await asyncio.sleep(0.01)
        assert await status(http, f"{url}/things/x") == 200
    assert metric(served, "shopflow_http_requests_shed_total") == 0


async def test_bodies_that_arrive_slowly_have_so_much_memory_together_and_small_ones_always_have_some(
    serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(served := application(bounds=Bounds(held=70_000), max_body=100_000))
    head = b"POST /things HTTP/1.1\r\nHost: x\r\n" + JSON + b"Content-Length: 90000\r\n\r\n"
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        for count in (1, 2):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            stack.callback(writer.close)
            writer.write(head + b" " * 30_000)
            while served._edge._public.held < count * 30_000:  # taken, or what comes next may be taken first
                await asyncio.sleep(0.01)
        heard = await told(url, head + b" " * 60_000, quiet=3)
        assert (heard.statuses[:1], heard.problem) == ([503], "overloaded")
        assert b"retry-after: 1" in heard.head
        async with http.post(f"{url}/things", json={"name": "x" * 10_000}) as response:
            assert response.status == 201
    async with asyncio.timeout(20):
        while served.in_flight:
            await asyncio.sleep(0.01)
    async with http.post(f"{url}/things", json={"name": "x" * 69_000}) as response:
        assert response.status == 201
    assert metric(served, "shopflow_http_requests_shed_total") == 1


async def test_health_is_answered_even_where_services_have_no_place_left(
    serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(application(bounds=Bounds(in_flight=0, between_services=0)))
    assert await status(http, f"{url}/health") == 200
    assert await status(http, f"{url}/ready") == 503
    assert await status(http, f"{url}/things/x") == 503


async def test_a_crowd_is_answered_or_refused_and_nobody_waits_for_ever(
    serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(application(bounds=Bounds(in_flight=8)))
    async with asyncio.timeout(30):
        statuses = await asyncio.gather(*(status(http, f"{url}/things/x") for _ in range(1000)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 0


def test_places_are_bounded_by_default() -> None:
    assert Bounds() == Bounds(in_flight=IN_FLIGHT, between_services=IN_FLIGHT)
    assert IN_FLIGHT <= 1024


async def status(http: aiohttp.ClientSession, url: str) -> int:
    """The status of a GET."""
    async with http.get(url) as response:
        await response.read()
        return response.status
