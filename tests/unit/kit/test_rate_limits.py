"""The sliding window and the growing delay in memory: true waits, bounded memory, one cost."""

import tracemalloc
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, Problem
from shopflow.kit.rate_limits import Delay, Ladder, RateLimit, Usage, noted
from shopflow.kit.rate_limits.memory import Memory
from shopflow.kit.rate_limits.windows import policy

MINUTE = 60.0
LADDER = Ladder("sign-in", free=5, cap=30, forget=900)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limited(rate: str | None, clock: Clock | None = None) -> RateLimit:
    return RateLimit(rate, store=Memory(clock=clock or Clock()))


async def passes(limit: RateLimit, key: str = "a") -> bool:
    try:
        await limit.count(key)
    except Problem:
        return False
    return True


def retry_after(limit: RateLimit, key: str = "a") -> int:
    with pytest.raises(Problem) as caught:
        limit.check(key)
    assert caught.value.kind is Kind.TOO_MANY
    assert caught.value.retry_after is not None
    return caught.value.retry_after


async def test_exactly_the_rate_passes_and_each_key_counts_alone() -> None:
    limit = limited("100/minute")
    assert [await passes(limit) for _ in range(101)] == [True] * 100 + [False]
    assert await passes(limit, "b")


async def test_what_is_refused_is_not_counted() -> None:
    clock = Clock()
    limit = limited("2/minute", clock)
    for _ in range(50):
        await passes(limit)
    clock.now += 2 * MINUTE
    assert await passes(limit)


async def test_checking_counts_nothing() -> None:
    limit = limited("1/minute")
    for _ in range(5):
        limit.check("a")
    assert await passes(limit)


@pytest.mark.row("T-7")
async def test_no_burst_passes_across_the_boundary_of_a_window() -> None:
    clock = Clock()
    limit = limited("100/minute", clock)
    clock.now = 1079.0  # a second before a window ends
    assert all([await passes(limit) for _ in range(100)])
    clock.now = 1081.0
    assert sum([await passes(limit) for _ in range(100)]) <= 2


@pytest.mark.row("T-7")
@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200))
async def test_after_the_time_that_it_names_a_call_passes(pauses: list[float]) -> None:
    clock = Clock()
    limit = limited("5/minute", clock)
    for pause in pauses:
        clock.now += pause
        if not await passes(limit):
            clock.now += retry_after(limit)
            assert await passes(limit)


@pytest.mark.row("T-4")
async def test_a_clock_that_jumps_back_grants_nothing_twice_and_refuses_nobody_for_longer() -> None:
    clock = Clock()
    limit = limited("5/minute", clock)
    assert sum([await passes(limit) for _ in range(5)]) == 5
    clock.now -= 3600
    assert not await passes(limit)
    clock.now += retry_after(limit)
    assert await passes(limit)


async def test_what_is_told_agrees_with_what_passes() -> None:
    clock = Clock()
    limit = limited("100/minute", clock)
    clock.now = 1079.0
    first = await limit.count("a")
    for _ in range(59):
        await limit.count("a")
    clock.now = 1100.0  # 20 s into the next window: two thirds of the 60 still count
    usage = await limit.count("a")
    assert first == Usage("calls", limit=100, window=60, remaining=99, reset=2)
    assert usage == Usage("calls", limit=100, window=60, remaining=59, reset=41)
    assert [await passes(limit) for _ in range(60)] == [True] * 59 + [False]
    assert usage.headers() == {"RateLimit-Policy": '"calls";q=100;w=60', "RateLimit": '"calls";r=59;t=41'}


async def test_a_refusal_tells_the_same_wait_everywhere() -> None:
    limit = limited("1/minute")
    assert (await limit.count("a")) is not None
    with pytest.raises(Problem) as caught:
        await limit.count("a")
    assert caught.value.headers["RateLimit"] == f'"calls";r=0;t={caught.value.retry_after}'


async def test_no_rate_is_no_limit() -> None:
    limit = limited(None)
    assert all([await passes(limit) for _ in range(1000)])
    assert await limit.count("a") is None


def test_of_several_usages_the_answer_tells_the_one_that_leaves_the_least() -> None:
    scope: dict[str, Any] = {}
    wide, narrow = Usage("wide", 100, 60, 50, 1), Usage("narrow", 10, 60, 3, 1)
    for usage in (wide, None, narrow, wide):
        noted(scope, usage)
    assert scope["rate_limit"] is narrow


async def test_what_is_not_called_any_more_is_forgotten() -> None:
    clock = Clock()
    store = Memory(clock=clock)
    rate = policy("5/minute", name="calls")
    for number in range(10_000):
        await store.take(rate, str(number))
    clock.now += 2 * MINUTE
    await store.take(rate, "a")
    assert store.keys() == 1


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


async def test_a_count_costs_the_same_for_many_keys() -> None:
    store = Memory(clock=Clock())
    rate = policy("100/minute", name="calls")

    async def seconds() -> float:
        best = 1.0
        for _ in range(20):
            started = perf_counter()
            for number in range(200):
                await store.take(rate, f"known{number}")
            best = min(best, perf_counter() - started)
        return best

    before = await seconds()
    for number in range(100_000):
        await store.take(rate, address(number))
    assert await seconds() < 3 * before


async def test_a_key_costs_a_few_bytes_of_flat_memory() -> None:
    """20,000 keys of a window and of the one before it, and as many of failed attempts, stay within three megabytes."""
    clock = Clock()
    rate = policy("100/minute", name="calls")
    tracemalloc.start()
    try:
        store = Memory(clock=clock, most=2000)
        for _ in range(2):
            clock.now += MINUTE
            for number in range(2000):
                await store.take(rate, f"2001:db8:0:{number:x}::/64")
        for number in range(2000):
            await store.attempt(LADDER, f"{number:016x}")
        assert store.keys() == 6000
        assert tracemalloc.get_traced_memory()[0] < 150 * 2000
    finally:
        tracemalloc.stop()


async def test_keys_beyond_the_bound_are_counted_together_but_counted() -> None:
    store = Memory(clock=Clock(), most=10)
    rate = policy("100/minute", name="calls")
    for number in range(10):
        assert (await store.take(rate, str(number))).remaining == 99
    beyond = [await store.take(rate, "stranger") for _ in range(101)]
    assert [usage.refused for usage in beyond] == [False] * 100 + [True]
    assert (await store.take(rate, "0")).remaining == 98


def delay(clock: Clock, ladder: Ladder | None = LADDER) -> Delay:
    return Delay(ladder, store=Memory(clock=clock), metrics=Metrics())


async def wait(of: Delay, key: str = "a") -> int:
    """How long the next attempt has to wait; 0 when it was let through, and failed."""
    try:
        await of.begin(key)
    except Problem as problem:
        return problem.retry_after or 0
    return 0


async def test_too_many_failures_have_a_code_and_headers_that_agree() -> None:
    failures = delay(Clock())
    for _ in range(5):
        await failures.begin("a")
    with pytest.raises(Problem) as caught:
        await failures.begin("a")
    assert (caught.value.kind, caught.value.code) == (Kind.TOO_MANY, "too-many-failures")
    assert caught.value.retry_after == 1
    assert caught.value.headers == {"RateLimit-Policy": '"sign-in";q=5;w=900', "RateLimit": '"sign-in";r=0;t=1'}


async def test_after_a_few_free_failures_each_one_doubles_the_delay_up_to_its_cap() -> None:
    clock = Clock()
    failures = delay(clock)
    waits = []
    for _ in range(13):
        waits.append(needed := await wait(failures))
        if needed:
            clock.now += needed
            assert await wait(failures) == 0
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_attempts_that_come_together_are_counted_like_those_that_come_in_turn() -> None:
    failures = delay(Clock())
    assert [await wait(failures) for _ in range(100)].count(0) == 5


async def test_attempts_that_were_refused_prolong_nothing() -> None:
    clock = Clock()
    failures = delay(clock)
    for _ in range(200):
        await wait(failures)
    clock.now += 1
    assert await wait(failures) == 0


async def test_a_success_and_a_quiet_quarter_of_an_hour_both_forget_the_failures() -> None:
    clock = Clock()
    failures = delay(clock)
    for quiet in (0, 900):
        for _ in range(10):
            await wait(failures)
        if quiet:
            clock.now += quiet
        else:
            await failures.forgive("a")
        assert [await wait(failures) for _ in range(5)] == [0] * 5
        await failures.forgive("a")


async def test_an_attempt_that_was_never_made_does_not_count() -> None:
    failures = delay(Clock())
    for _ in range(20):
        assert await wait(failures) == 0
        await failures.undo("a")


async def test_failures_of_a_hundred_thousand_keys_are_bounded_and_the_latest_are_known() -> None:
    store = Memory(clock=Clock())
    for number in range(100_000):
        for _ in range(5 if number > 99_990 else 1):
            await store.attempt(LADDER, str(number))
    assert store.keys() <= 20_000
    assert await store.attempt(LADDER, "99999") > 0


async def test_the_latest_three_quarters_of_the_failures_are_known_whatever_comes() -> None:
    store = Memory(clock=Clock(), most=100)
    for number in range(1000):
        assert await store.attempt(LADDER, str(number)) == 0
        assert store.keys() <= 100
    for _ in range(4):
        for number in range(925, 1000):
            assert await store.attempt(LADDER, str(number)) == 0
    assert all([await store.attempt(LADDER, str(number)) > 0 for number in range(925, 1000)])


async def test_whoever_goes_on_failing_is_not_forgotten_for_those_who_failed_once() -> None:
    clock = Clock()
    store = Memory(clock=clock, most=8)
    for number in range(40):
        clock.now += 30
        assert await store.attempt(LADDER, "attacked") == 0
        await store.attempt(LADDER, str(number))
    assert await store.attempt(LADDER, "attacked") == 30


async def test_failures_are_forgotten_after_their_time_whichever_came_in_between() -> None:
    clock = Clock()
    store = Memory(clock=clock)
    for _ in range(5):
        assert await store.attempt(LADDER, "a") == 0
    for _ in range(4):
        clock.now += 224
        await store.attempt(LADDER, "b")
    assert await store.attempt(LADDER, "a") == 0  # after 896 s: the delay is over, the failures are not
    assert await store.attempt(LADDER, "a") == 2
    clock.now += 900
    assert [await store.attempt(LADDER, "a") for _ in range(5)] == [0] * 5


async def test_a_clock_that_jumps_back_keeps_nobody_waiting_for_longer_than_the_delay() -> None:
    clock = Clock()
    failures = delay(clock)
    for _ in range(6):
        await wait(failures)
    clock.now -= 3600
    assert await wait(failures) == 1
    clock.now += 1
    assert await wait(failures) == 0


async def test_no_ladder_is_no_delay() -> None:
    failures = delay(Clock(), None)
    assert [await wait(failures) for _ in range(100)] == [0] * 100
