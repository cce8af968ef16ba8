"""The open loop: what a latency counts from, and what becomes of calls that fail."""

import asyncio

import pytest
from bench.driver import Arrival, CallFailed, drive


async def test_a_slow_answer_does_not_hold_up_the_calls_after_it() -> None:
    released = asyncio.Event()

    async def perform(arrival: Arrival) -> None:
        if arrival.subject == 0:
            await released.wait()
        else:
            released.set()

    samples = await drive([Arrival(0.0, "call", 0), Arrival(0.01, "call", 1)], perform)

    assert [sample.arrival.subject for sample in samples] == [1, 0]
    assert all(sample.error is None for sample in samples)


async def test_latency_counts_from_the_intended_time_not_from_the_moment_of_sending() -> None:
    async def perform(_: Arrival) -> None:
        pass

    overdue = -0.25  # a call that was due a quarter of a second before the loop came to it
    (sample,) = await drive([Arrival(overdue, "call", 0)], perform)

    assert sample.seconds >= 0.25
    assert sample.late >= 0.25


async def test_no_call_begins_before_its_time() -> None:
    async def perform(_: Arrival) -> None:
        pass

    samples = await drive([Arrival(at, "call", 0) for at in (0.0, 0.02, 0.04)], perform)

    assert all(sample.late >= 0 for sample in samples)


@pytest.mark.parametrize(
    ("failure", "reason"), [(CallFailed("status 500"), "status 500"), (ConnectionResetError(), "ConnectionResetError")]
)
async def test_a_failed_call_is_counted_with_its_reason_and_ends_nothing(failure: Exception, reason: str) -> None:
    async def perform(arrival: Arrival) -> None:
        if arrival.subject == 0:
            raise failure

    samples = await drive([Arrival(0.0, "call", 0), Arrival(0.0, "call", 1)], perform)

    assert {sample.arrival.subject: sample.error for sample in samples} == {0: reason, 1: None}


async def test_a_defect_of_the_bench_is_no_failed_call() -> None:
    async def perform(_: Arrival) -> None:
        raise KeyError("defect")

    with pytest.raises(ExceptionGroup):
        await drive([Arrival(0.0, "call", 0)], perform)
