"""The sliding window: never more than the rate in any window, a true Retry-After, the same cost for many keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.problems import Kind, Problem
from shopflow.kit.rate_limits import RateLimit

MINUTE = 60.0


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def passes(limit: RateLimit, key: str = "a") -> bool:
    try:
        await limit.count(key)
    except Problem:
        return False
    return True


async def retry_after(limit: RateLimit, key: str = "a") -> int:
    with pytest.raises(Problem) as caught:
        await limit.check(key)
    assert caught.value.kind is Kind.TOO_MANY
    assert caught.value.retry_after is not None
    return caught.value.retry_after


async def test_exactly_the_rate_passes_and_each_key_counts_alone() -> None:
    limit = RateLimit("100/minute", clock=Clock())
    assert [await passes(limit) for _ in range(101)] == [True] * 100 + [False]
    assert await passes(limit, "b")


async def test_what_is_refused_is_not_counted() -> None:
    clock = Clock()
    limit = RateLimit("2/minute", clock=clock)
    for _ in range(50):
        await passes(limit)
    clock.now += 2 * MINUTE
    assert await passes(limit)


async def test_checking_counts_nothing() -> None:
    limit = RateLimit("1/minute", clock=Clock())
    for _ in range(5):
        await limit.check("a")
    assert await passes(limit)


async def test_no_burst_passes_across_the_boundary_of_a_window() -> None:
    clock = Clock()
    limit = RateLimit("100/minute", clock=clock)
    clock.now = 1079.0  # a second before a window ends
    assert all([await passes(limit) for _ in range(100)])
    clock.now = 1081.0
    assert sum([await passes(limit) for _ in range(100)]) <= 2


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200))
async def test_after_the_time_that_it_names_a_call_passes(pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit("5/minute", clock=clock)
    for pause in pauses:
        clock.now += pause
        if not await passes(limit):
            clock.now += await retry_after(limit)
            assert await passes(limit)


async def test_no_rate_is_no_limit() -> None:
    limit = RateLimit(None)
    assert all([await passes(limit) for _ in range(1000)])


async def test_what_is_not_called_any_more_is_forgotten() -> None:
    clock = Clock()
    limit = RateLimit("5/minute", clock=clock)
    for number in range(10_000):
        await limit.count(str(number))
    clock.now += 2 * MINUTE
    await limit.count("a")
    assert limit.keys == 1
