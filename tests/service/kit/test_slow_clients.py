"""Clients that send for ever, too much, or take nothing: each is ended in time, and nobody else notices."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter

import aiohttp
import pytest
from tests.attack import slow
from tests.service.kit.stand import JSON, LARGE, Serve, application, metric, port_of, told

from shopflow.kit.admission import Bounds
from shopflow.kit.server import running
from shopflow.kit.service import Application
from shopflow.local.ports import free_port

CONNECTIONS = 200
SECONDS = 4.0
GIGABYTES = 10_000_000_000
QUICK = Bounds(body_within=1.0)


@asynccontextmanager
async def on_a_port(served: Application, *, header_within: float = 1.0) -> AsyncIterator[tuple[str, int]]:
    """The application, impatient."""
    port = free_port()
    async with running(served, host="127.0.0.1", port=port, header_within=header_within):
        yield f"http://127.0.0.1:{port}", port


async def normal_requests(http: aiohttp.ClientSession, url: str, seconds: float) -> list[float]:
    """How long each of many ordinary requests takes, each on its turn."""
    taken = []
    end = monotonic() + seconds
    while monotonic() < end:
        began = perf_counter()
        async with http.get(f"{url}/things/x") as response:
            assert response.status == 200
            await response.read()
        taken.append(perf_counter() - began)
        await asyncio.sleep(0.005)
    return sorted(taken)


def assert_unhindered(taken: list[float]) -> None:
    """The clients of the attack run in this very process: what they cost it is in these figures too."""
    assert len(taken) > 30
    assert taken[int(len(taken) * 0.99)] < 0.5


@pytest.mark.row("H-1")
async def test_slow_headers_are_ended_and_normal_requests_are_served(http: aiohttp.ClientSession) -> None:
    async with on_a_port(application(bounds=Bounds(in_flight=50))) as (url, port):
        held, taken = await asyncio.gather(
            slow.slow_headers("127.0.0.1", port, CONNECTIONS, SECONDS), normal_requests(http, url, SECONDS)
        )
    assert held.refused == 0
    assert held.closed >= CONNECTIONS
    assert held.longest < 3.5
    assert_unhindered(taken)


@pytest.mark.row("H-2")
async def test_slow_bodies_are_ended_and_normal_requests_are_served(http: aiohttp.ClientSession) -> None:
    async with on_a_port(served := application(bounds=Bounds(in_flight=50, body_within=1.0))) as (url, port):
        held, taken = await asyncio.gather(
            slow.slow_bodies("127.0.0.1", port, CONNECTIONS, SECONDS, path="/things"),
            normal_requests(http, url, SECONDS),
        )
        assert metric(served, "shopflow_http_requests_shed_total") == 0
    assert held.statuses[408] >= CONNECTIONS
    assert set(held.statuses) == {408}
    assert held.longest < 3.5
    assert_unhindered(taken)


@pytest.mark.row("H-11")
async def test_a_thousand_idle_connections_hinder_nobody_and_end(http: aiohttp.ClientSession) -> None:
    async with on_a_port(application(bounds=Bounds(in_flight=50)), header_within=2.0) as (url, port):
        held, taken = await asyncio.gather(
            slow.idle("127.0.0.1", port, 1000, 3 * SECONDS), normal_requests(http, url, SECONDS)
        )
    assert held.refused == 0
    assert held.statuses[200] >= 1000
    assert held.closed >= 1000
    assert_unhindered(taken)


@pytest.mark.row("H-2")
async def test_a_body_that_is_too_slow_is_a_408_and_the_end(serving: Serve) -> None:
    url = await serving(served := application(bounds=QUICK))
    raw = b"POST /things HTTP/1.1\r\nHost: x\r\n" + JSON + b"Content-Length: 12\r\n\r\n{"
    began = monotonic()
    heard = await told(url, raw, quiet=5)
    assert 0.9 < monotonic() - began < 5
    assert (heard.statuses, heard.problem, heard.ended) == ([408], "body-too-slow", True)
    assert b"connection: close" in heard.head
    assert served.in_flight == 0


@pytest.mark.row("H-2")
@pytest.mark.parametrize("path", ["/refused", "/nowhere", "/between"])
async def test_a_slow_body_that_nobody_reads_holds_its_connection_a_moment_only(serving: Serve, path: str) -> None:
    url = await serving(served := application(bounds=QUICK))
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{" % path.encode())
    began = monotonic()

    async def dribbling() -> None:
        with suppress(OSError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)

    dribble = asyncio.create_task(dribbling())
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
        assert monotonic() - began < 1.9  # the answer does not wait for the body
        with suppress(OSError):
            await reader.read()
    assert monotonic() - began < 6
    dribble.cancel()
    writer.close()
    assert served.in_flight == 0


def memory() -> int:
    """The bytes of this process's memory that are its own."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * 4096


@pytest.mark.row("H-3")
async def test_a_body_of_ten_gigabytes_is_refused_before_it_is_sent(serving: Serve) -> None:
    url = await serving(application())
    began = monotonic()
    heard = await told(url, b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % GIGABYTES, quiet=5)
    assert (heard.statuses, heard.problem, heard.ended) == ([413], "body-too-large", True)
    assert monotonic() - began < 6


@pytest.mark.row("H-3")
@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: %d" % GIGABYTES])
async def test_a_body_without_end_is_a_413_early_and_takes_no_memory(serving: Serve, framing: bytes) -> None:
    url = await serving(application())
    before = memory()
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(b"POST /things HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0

    async def endless() -> None:
        nonlocal sent
        with suppress(OSError):
            while True:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)

    sending = asyncio.create_task(endless())
    began = monotonic()
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        assert monotonic() - began < 1.9
        with suppress(OSError):
            await reader.read()
        await sending  # the service has closed, so that nothing more can be sent
    writer.close()
    assert sent < 32 * 1024 * 1024
    assert memory() - before < 32 * 1024 * 1024


async def test_who_waits_for_leave_to_send_is_refused_without_sending(serving: Serve) -> None:
    url = await serving(application())
    heard = await told(
        url, b"POST /things HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n", quiet=5
    )
    assert (heard.statuses, heard.ended) == ([413], True)
    raw = b"POST /things HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n"
    assert (await told(url, raw + b'{"name":"x"}')).statuses == [100, 201]


async def test_a_body_in_time_is_no_slow_one_though_its_parts_are_apart(serving: Serve) -> None:
    url = await serving(application(bounds=QUICK))
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(b"POST /things HTTP/1.1\r\nHost: x\r\n" + JSON + b"Content-Length: 12\r\n\r\n")
    for part in (b'{"na', b'me":', b'"x"}'):
        await asyncio.sleep(0.1)
        writer.write(part)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
    writer.close()


@contextmanager
def unread(port: int) -> Iterator[socket.socket]:
    """A connection that takes almost nothing of what it is sent."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        yield client


async def test_an_answer_that_is_not_taken_is_given_up_and_takes_no_place(
    serving: Serve, http: aiohttp.ClientSession
) -> None:
    url = await serving(served := application(bounds=Bounds(in_flight=2, answer_within=1.0)))
    with ExitStack() as stack:
        clients = [stack.enter_context(unread(port_of(url))) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while served.in_flight < len(clients):
                await asyncio.sleep(0.01)
            async with http.get(f"{url}/things/x") as response:
                assert response.status == 200
            while served.in_flight:
                await asyncio.sleep(0.01)
        assert metric(served, "shopflow_http_requests_shed_total") == 0


async def test_many_large_answers_that_are_not_taken_are_given_up_sooner(serving: Serve) -> None:
    url = await serving(served := application(bounds=Bounds(held=len(LARGE), answer_within=60.0)))
    with ExitStack() as stack:
        clients = [stack.enter_context(unread(port_of(url))) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            while served.in_flight < len(clients):
                await asyncio.sleep(0.01)
            while served.in_flight > 1:  # one of them is no crowd
                await asyncio.sleep(0.01)


async def test_a_large_answer_arrives_whole(serving: Serve, http: aiohttp.ClientSession) -> None:
    url = await serving(application())
    async with http.get(f"{url}/large") as response:
        assert await response.read() == LARGE
        assert response.headers["Content-Length"] == str(len(LARGE))
