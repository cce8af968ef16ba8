"""A shared store that fails: each instance counts for itself, at once and for as long as it lasts, and says so once."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from time import perf_counter

import pytest
import structlog
from tests import tls
from tests.valkey_server import ValkeyServer, valkey_server

from shopflow.kit.metrics import Metrics
from shopflow.kit.rate_limits import Counts, Ladder, counts_at, fallback, shared
from shopflow.kit.rate_limits.windows import policy
from shopflow.local.ports import free_port

RATE = policy("100/day", name="orders")
LADDER = Ladder("sign-in", free=5, cap=30, forget=900)
DEADLINE = shared.DEADLINE  # read before a fixture gives a slow machine more room
LOOK_EVERY = fallback.LOOK_EVERY


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment is no outage here, unless a test is about that."""
    monkeypatch.setattr(shared, "DEADLINE", 10.0)


class Counting:
    """An instance's store of counts, and what its metrics say."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.store: Counts = counts_at(url, self.metrics)

    def value(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"shopflow_rate_limit_store_{name}") or 0.0

    def alone(self) -> bool:
        return self.value("fallback") == 1

    async def passed(self, times: int, key: str = "a") -> int:
        return sum([not (await self.store.take(RATE, key)).refused for _ in range(times)])


Open = Callable[[str], Awaitable[Counting]]


@pytest.fixture
async def counting() -> AsyncIterator[Open]:
    """Opens the stores of instances for as long as the test lasts."""
    async with AsyncExitStack() as stack:

        async def opened(url: str) -> Counting:
            one = Counting(url)
            await one.store.open()
            stack.push_async_callback(one.store.close)
            return one

        yield opened


@pytest.fixture
async def server() -> AsyncIterator[ValkeyServer]:
    """A Valkey of the test's own."""
    async with valkey_server() as server:
        yield server


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_without_a_store_each_instance_counts_for_itself_and_is_not_ready_to_share(counting: Open) -> None:
    one = await counting(f"redis://127.0.0.1:{free_port()}/0")
    assert one.alone()
    assert not await one.store.answers()
    assert await one.passed(102) == 100
    assert await one.passed(1, "b") == 1
    waits = [await one.store.attempt(LADDER, "a") for _ in range(6)]
    assert waits[:5] == [0.0] * 5
    assert waits[5] > 0
    assert one.store.look(RATE, "a") is not None


async def test_what_two_instances_count_is_one_count(counting: Open, valkey_url: str) -> None:
    one, other = await counting(valkey_url), await counting(valkey_url)
    assert [await each.passed(1) for _ in range(51) for each in (one, other)] == [1] * 100 + [0, 0]
    assert not one.alone()


async def test_an_outage_costs_one_deadline_and_is_said_once(
    counting: Open, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DEADLINE == 0.05
    monkeypatch.setattr(shared, "DEADLINE", DEADLINE)
    monkeypatch.setattr(fallback, "LOOK_EVERY", 0.05)
    with structlog.testing.capture_logs() as lines:
        one = await counting(server.url)
        assert not one.alone()
        server.pause()  # it accepts connections, and answers nothing
        started = perf_counter()
        assert await one.passed(50) == 50
        assert perf_counter() - started < 1  # fifty deadlines would be more
        await until(one.alone)
        failures = one.value("failures_total")
        await until(lambda: one.value("failures_total") > failures)  # it goes on looking
        server.resume()
        await until(lambda: not one.alone())
        assert await one.passed(102) in {99, 100}  # the call that was given up was counted after all
    said = [line["event"] for line in lines]
    assert (said.count("rate_limit_store_lost"), said.count("rate_limit_store_back")) == (1, 1)


async def test_a_crowd_that_comes_at_once_is_counted_and_is_no_outage(
    counting: Open, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "DEADLINE", 0.005)  # of so many, most have to wait for longer than that
    with structlog.testing.capture_logs() as lines:
        one = await counting(server.url)
        usages = await asyncio.gather(*(one.store.take(RATE, "a") for _ in range(1000)))
        await until(lambda: one.store._search is None)  # type: ignore[attr-defined]
        assert one.value("failures_total") > 0
        assert not one.alone()
        assert sum(not usage.refused for usage in usages) <= 200  # in the store, and here
    assert lines == []
    monkeypatch.setattr(shared, "DEADLINE", 10.0)
    assert await one.passed(102, "later") == 100


async def test_while_it_is_down_a_call_costs_no_connection(counting: Open) -> None:
    assert LOOK_EVERY == 1.0
    opened: list[int] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listening:
        one = await counting(f"valkey://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        before = len(opened)
        assert await one.passed(1000) == 100
        assert len(opened) - before <= 2  # a look or two


async def answer_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


async def answer_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _answered(b":x\r\n*1\r\n$-7\r\n", reader, writer)


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _answered(b"+OK\r\n" * 8, reader, writer)


async def _answered(always: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(4096):
            writer.write(always)
            await writer.drain()
    except OSError:
        pass  # the client hung up
    finally:
        writer.close()


@pytest.mark.parametrize("stranger", [answer_http, answer_nonsense, answer_ok])
async def test_something_else_that_answers_there_is_no_store(
    counting: Open, stranger: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> None:
    listening = await asyncio.start_server(stranger, "127.0.0.1", 0)
    async with listening:
        one = await counting(f"valkey://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        assert await one.passed(102) == 100
        assert one.alone()


async def test_a_wrong_password_is_an_outage_and_not_a_way_around_the_limit(counting: Open) -> None:
    async with valkey_server(password="right") as server:
        wrong = await counting(server.url_with("wrong"))
        assert await wrong.passed(102) == 100
        assert wrong.alone()
        right = await counting(server.url)
        assert not right.alone()
        assert await right.passed(102) == 100


async def test_a_store_that_answers_but_may_not_write_is_no_store(counting: Open, server: ValkeyServer) -> None:
    async with server.client() as client:
        await client.config_set("maxmemory", "1")
    one = await counting(server.url)
    assert await one.passed(102) == 100
    assert one.alone()


async def test_a_store_that_stops_and_comes_back_during_traffic_lets_nobody_through_unlimited(
    counting: Open, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "LOOK_EVERY", 0.05)
    one, other = await counting(server.url), await counting(server.url)
    passed = 0
    over = asyncio.Event()

    async def calls(each: Counting) -> None:
        nonlocal passed
        while not over.is_set():
            counted = await each.passed(1)
            passed += counted
            await asyncio.sleep(0)

    traffic = [asyncio.create_task(calls(each)) for each in (one, other) for _ in range(4)]
    await until(lambda: passed == 100)
    await server.stop()
    # Both know who is full, and ask nobody about that; somebody new shows them that the store is gone.
    await one.passed(1, "new")
    await other.passed(1, "new")
    await until(lambda: one.alone() and other.alone())
    await server.start()
    await until(lambda: not one.alone() and not other.alone())
    over.set()
    await asyncio.gather(*traffic)
    assert passed <= 300  # 100 before, and at most 100 for each instance alone
    assert await one.passed(60, "later") + await other.passed(60, "later") == 100


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    return tls.certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def tls_port(valkey_url: str, certificate: Path) -> AsyncIterator[int]:
    """A port on loopback where the store answers over TLS."""
    async with tls.unwrapped(certificate, int(valkey_url.rpartition(":")[2].partition("/")[0])) as port:
        yield port


async def test_over_tls_the_certificate_must_be_trusted_and_be_the_hosts(
    counting: Open, tls_port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = await counting(f"valkeys://localhost:{tls_port}")
    assert stranger.alone()
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(certificate))
    trusted = await counting(f"rediss://localhost:{tls_port}")
    assert not trusted.alone()
    assert await trusted.passed(102) == 100
    elsewhere = await counting(f"valkeys://{ip_address('127.0.0.1')}:{tls_port}")
    assert elsewhere.alone()
