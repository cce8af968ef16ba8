"""The stores of counts answer alike: a memory of one process, and a real Valkey that several share."""

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from random import Random
from time import time

import pytest
from tests.valkey_server import ValkeyServer

from shopflow.kit.metrics import Metrics
from shopflow.kit.rate_limits import Counts, Ladder, Usage, counts_at
from shopflow.kit.rate_limits.memory import Memory
from shopflow.kit.rate_limits.shared import _key
from shopflow.kit.rate_limits.windows import policy

DAILY = policy("100/day", name="orders")
DAY = 24 * 60 * 60
LADDER = Ladder("sign-in", free=5, cap=30, forget=900)


@pytest.fixture
async def shared(valkey_url: str) -> AsyncIterator[Counts]:
    """The store that instances share."""
    store = counts_at(valkey_url, Metrics())
    await store.open()
    assert await store.answers()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "shared"])
def store(request: pytest.FixtureRequest) -> Counts:
    """Each kind of store in turn."""
    return Memory() if request.param == "memory" else request.getfixturevalue("shared")


async def refused(store: Counts, key: str = "a", times: int = 1) -> list[bool]:
    return [(await store.take(DAILY, key)).refused for _ in range(times)]


async def test_exactly_the_rate_passes_and_each_key_and_policy_counts_alone(store: Counts) -> None:
    assert await refused(store, times=102) == [False] * 100 + [True] * 2
    assert await refused(store, "b") == [False]
    assert not (await store.take(policy("100/day", name="other"), "a")).refused


async def test_calls_that_come_together_are_counted_like_those_that_come_in_turn(store: Counts) -> None:
    usages = await asyncio.gather(*(store.take(DAILY, "a") for _ in range(250)))
    assert sum(not usage.refused for usage in usages) == 100


async def test_every_call_is_told_what_is_left(store: Counts) -> None:
    first = await store.take(DAILY, "a")
    assert (first.name, first.limit, first.window, first.remaining, first.refused) == ("orders", 100, DAY, 99, False)
    assert 1 <= first.reset <= DAY
    await refused(store, times=98)
    last = await store.take(DAILY, "a")
    assert (last.remaining, last.refused) == (0, False)
    beyond = await store.take(DAILY, "a")
    assert (beyond.remaining, beyond.refused) == (0, True)
    assert abs(beyond.reset - last.reset) <= 2


@pytest.mark.row("T-7")
async def test_a_call_passes_after_the_time_that_it_was_told(store: Counts) -> None:
    short = policy("5/second", name="short")
    while not (usage := await store.take(short, "a")).refused:
        pass
    await asyncio.sleep(usage.reset)
    assert not (await store.take(short, "a")).refused


async def test_what_is_known_to_be_full_is_refused_without_being_counted(store: Counts) -> None:
    assert store.look(DAILY, "a") is None
    await refused(store, times=101)
    known = store.look(DAILY, "a")
    assert known is not None
    assert (known.refused, known.remaining) == (True, 0)
    assert store.look(DAILY, "b") is None


async def test_both_stores_answer_alike(shared: Counts) -> None:
    memory, dice = Memory(), Random(3)  # noqa: S311 - the same dice in every run
    narrow = policy("7/day", name="narrow")
    for _ in range(400):
        rate, key = dice.choice([DAILY, narrow]), dice.choice("abcdef")
        theirs, ours = await shared.take(rate, key), await memory.take(rate, key)
        assert (theirs.remaining, theirs.refused, theirs.limit) == (ours.remaining, ours.refused, ours.limit)
        theirs_wait, ours_wait = await shared.attempt(LADDER, key), await memory.attempt(LADDER, key)
        assert abs(theirs_wait - ours_wait) < 5
        assert (theirs_wait > 0) == (ours_wait > 0)
        if dice.random() < 0.2:
            await shared.forgive(LADDER, key)
            await memory.forgive(LADDER, key)
        if dice.random() < 0.2:
            await shared.undo(LADDER, key)
            await memory.undo(LADDER, key)


async def attempts(store: Counts, times: int, ladder: Ladder = LADDER) -> list[float]:
    return [await store.attempt(ladder, "a") for _ in range(times)]


async def test_failures_beyond_the_free_ones_wait_until_they_are_forgiven(store: Counts) -> None:
    assert await attempts(store, 5) == [0.0] * 5
    assert 0 < (await attempts(store, 1))[0] <= 1
    await store.forgive(LADDER, "a")
    assert await attempts(store, 5) == [0.0] * 5


async def test_attempts_that_come_together_are_counted_like_those_that_come_in_turn(store: Counts) -> None:
    waits = await asyncio.gather(*(store.attempt(LADDER, "a") for _ in range(100)))
    assert waits.count(0.0) == 5


async def test_an_attempt_that_was_never_made_does_not_count(store: Counts) -> None:
    for _ in range(20):
        assert await attempts(store, 1) == [0.0]
        await store.undo(LADDER, "a")
    assert await attempts(store, 5) == [0.0] * 5


async def test_the_delay_grows_to_its_cap_and_ends_when_it_says(store: Counts) -> None:
    short = Ladder("short", free=1, cap=1, forget=60)
    for _ in range(3):
        assert await attempts(store, 1, short) == [0.0]
        [wait] = await attempts(store, 1, short)
        assert 0 < wait <= 1
        await asyncio.sleep(wait + 0.001)


async def test_a_quiet_time_forgets_the_failures(store: Counts) -> None:
    short = Ladder("short", free=1, cap=30, forget=1)
    assert (await attempts(store, 2, short))[0] == 0.0
    await asyncio.sleep(1.01)
    assert await attempts(store, 1, short) == [0.0]


def window_of(seconds: int) -> tuple[int, float]:
    """The number of the window that runs now, and how much of it has passed."""
    number, within = divmod(time(), seconds)
    return int(number), within / seconds


async def test_the_window_before_counts_as_far_as_it_is_still_covered(
    shared: Counts, valkey_of_the_run: ValkeyServer
) -> None:
    number, passed = window_of(DAY)
    async with valkey_of_the_run.client() as client:
        await client.hset(_key("orders", DAY, "a"), mapping={"w": number - 1, "n": 90, "b": 7})
        await client.hset(_key("orders", DAY, "b"), mapping={"w": number - 2, "n": 90, "b": 7})
    assert abs((await shared.take(DAILY, "a")).remaining - (99 - 90 * (1 - passed))) <= 1
    assert (await shared.take(DAILY, "b")).remaining == 99


@pytest.mark.row("T-4")
async def test_a_store_whose_clock_jumped_back_grants_nothing_twice_and_says_truly_when(
    shared: Counts, valkey_of_the_run: ValkeyServer
) -> None:
    short, key = policy("5/second", name="short"), _key("short", 1, "a")
    async with valkey_of_the_run.client() as client:
        await client.hset(key, mapping={"w": window_of(1)[0] + 3600, "n": 5, "b": 0})
        usage = await shared.take(short, "a")
        assert usage.refused
        assert usage.reset <= 2
        await asyncio.sleep(usage.reset)
        assert not (await shared.take(short, "a")).refused
        attempted = _key("sign-in", 900, "a")
        await client.hset(attempted, mapping={"n": 5, "at": int((time() + 3600) * 1000)})
        assert 0 < await shared.attempt(LADDER, "a") <= 1


async def test_a_shared_store_holds_short_keys_that_name_nobody_and_expire(
    shared: Counts, valkey_of_the_run: ValkeyServer
) -> None:
    await shared.take(DAILY, "198.51.100.7")
    await shared.attempt(LADDER, "jane@example.com" * 100)
    async with valkey_of_the_run.client() as client:
        keys = await client.keys()
        lives = [await client.ttl(key) for key in keys]
    assert all(key.startswith(b"shopflow:") and len(key) < 60 for key in keys)
    assert not any(b"198.51" in key or b"jane" in key for key in keys)
    assert all(0 < life <= 2 * DAY for life in lives)


async def test_a_call_is_one_round_trip_and_a_refused_key_costs_none(
    shared: Counts, valkey_of_the_run: ValkeyServer
) -> None:
    async with valkey_of_the_run.client() as client:
        await shared.take(DAILY, "a")  # the script is known now
        await client.config_resetstat()
        await refused(shared, times=300)
        stats = await client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 100  # 99 that passed, and the first that was refused
    assert not any(name.startswith("cmdstat_script") for name in stats)


async def test_a_store_that_forgot_the_scripts_learns_them_again(
    shared: Counts, valkey_of_the_run: ValkeyServer
) -> None:
    await shared.take(DAILY, "a")
    async with valkey_of_the_run.client() as client:
        await client.script_flush()
    assert (await shared.take(DAILY, "a")).remaining == 98
    assert await shared.answers()


@pytest.mark.row("A-15")
async def test_a_hundred_thousand_addresses_cost_bounded_memory_and_none_is_unlimited() -> None:
    clock = [1000.0]
    store = Memory(clock=lambda: clock[0])
    rate = policy("100/minute", name="auth")
    tracemalloc.start()
    try:
        for _ in range(2):  # windows
            for number in range(100_000):
                await store.take(rate, f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64")
            clock[0] += 60
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.keys() <= 2 * (20_000 + 4096)
    assert grown < 15_000_000
    late = [(await store.take(rate, "192.0.2.1")).refused for _ in range(101)]
    assert late[-1]


def test_those_who_count_in_memory_do_not_load_the_client() -> None:
    program = (
        "import sys, shopflow.auth.app, shopflow.orders.app, shopflow.kit.metrics as m, shopflow.kit.rate_limits as r;"
        "r.counts_at('memory://', m.Metrics()); sys.exit('valkey' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_usage_is_told_in_two_headers() -> None:
    assert Usage("auth", limit=100, window=60, remaining=57, reset=31).headers() == {
        "RateLimit-Policy": '"auth";q=100;w=60',
        "RateLimit": '"auth";r=57;t=31',
    }
