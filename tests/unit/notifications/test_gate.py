"""Whether a channel may be used: rests, probes, the breaker and the pace, with a clock of the test's own."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.metrics import Metrics
from shopflow.notifications.channels import Accepted, Failed, InDoubt, Misconfigured, Outcome, Rejected, Rejection
from shopflow.notifications.channels.gate import BREAKS_AT, WORTH_WAITING, Gate, Pace, Permit

SENT = Accepted("ref")
DOWN = Failed("503", "away")
DOUBT = InDoubt("cut")
THROTTLED = Failed("429", "slower", throttled=True)
REFUSED = Misconfigured("20003", "authenticate")
UNKNOWN = Rejected(Rejection.RECIPIENT, "21211", "no such number")


def opened(pace: float | None = None) -> Gate:
    return Gate("email", metrics=Metrics(), pace=pace)


def tried(gate: Gate, outcome: Outcome, now: float) -> Permit:
    """One attempt that takes no time."""
    permit = gate.enter(now)
    assert permit is not None
    gate.heard(permit, outcome, now)
    gate.leave(permit)
    return permit


def first_permit(gate: Gate, now: float) -> float:
    """When the gate lets somebody through again, to the second."""
    while (permit := gate.enter(now)) is None:
        now += 1
    gate.leave(permit)
    return now


def tripped(outcome: Outcome = DOWN) -> Gate:
    gate = opened()
    for _ in range(BREAKS_AT):
        tried(gate, outcome, 0)
    return gate


async def test_an_open_gate_lets_everybody_through() -> None:
    gate = opened()
    assert all(gate.enter(0) is not None for _ in range(1000))
    assert await gate.answers()


async def test_a_throttled_channel_rests_for_as_long_as_the_provider_says() -> None:
    gate = opened()
    tried(gate, Failed("429", "slower", throttled=True, retry_after=7), 100)
    assert not await gate.answers()
    assert first_permit(gate, 100) == 107


def test_a_provider_that_does_not_say_how_long_is_left_alone_twice_as_long_each_time_up_to_ten_minutes() -> None:
    gate, now, rests = opened(), 0.0, []
    for _ in range(8):
        tried(gate, THROTTLED, now)
        until = first_permit(gate, now)
        rests.append(until - now)
        now = until
    assert rests == [30, 60, 120, 240, 480, 600, 600, 600]


def test_a_provider_that_is_throttling_again_soon_is_left_alone_for_longer_and_after_a_calm_time_not() -> None:
    gate = opened()
    tried(gate, THROTTLED, 0)
    tried(gate, SENT, 30)
    tried(gate, THROTTLED, 31)
    assert first_permit(gate, 31) == 91
    tried(gate, SENT, 91)
    tried(gate, THROTTLED, 200)
    assert first_permit(gate, 200) == 230


@pytest.mark.parametrize("outcome", [DOWN, DOUBT])
async def test_nineteen_failures_are_no_outage_and_twenty_in_a_row_are(outcome: Outcome) -> None:
    gate = opened()
    for _ in range(2):
        for _ in range(BREAKS_AT - 1):
            tried(gate, outcome, 0)
        assert await gate.answers()
        tried(gate, SENT, 0)
    for _ in range(BREAKS_AT):
        tried(gate, outcome, 0)
    assert not await gate.answers()
    assert first_permit(gate, 0) == 15


def test_a_refused_recipient_shows_that_the_provider_works() -> None:
    gate = opened()
    for _ in range(BREAKS_AT * 3):
        tried(gate, DOWN, 0)
        tried(gate, UNKNOWN, 0)
    assert gate.enter(0) is not None


def test_our_own_misconfiguration_closes_at_the_first_answer_and_is_probed_every_half_minute() -> None:
    gate, now = opened(), 0.0
    for _ in range(5):
        tried(gate, REFUSED, now)
        assert first_permit(gate, now) == now + 30
        now += 30
    tried(gate, SENT, now)
    assert not tried(gate, SENT, now).probe


def test_one_probe_at_a_time_finds_out_and_opens_for_all() -> None:
    gate = tripped()
    probe = gate.enter(20)
    assert probe is not None
    assert probe.probe
    assert [gate.enter(20) for _ in range(10)] == [None] * 10
    gate.heard(probe, SENT, 20)
    gate.leave(probe)
    assert all(permit is not None and not permit.probe for permit in (gate.enter(20) for _ in range(100)))


@pytest.mark.parametrize("outcome", [DOWN, DOUBT, THROTTLED, REFUSED])
def test_a_probe_that_fails_closes_again_at_once(outcome: Outcome) -> None:
    gate = tripped()
    assert tried(gate, outcome, 15).probe
    assert gate.enter(15) is None


def test_a_probe_that_was_given_up_without_a_word_leaves_room_for_the_next() -> None:
    gate = tripped()
    probe = gate.enter(15)
    assert probe is not None
    gate.leave(probe)
    again = gate.enter(15)
    assert again is not None
    assert again.probe


def test_what_came_of_older_attempts_says_nothing_about_now() -> None:
    gate = opened()
    old = [gate.enter(0) for _ in range(40)]
    tried(gate, THROTTLED, 1)
    outcomes: list[Outcome] = [SENT, THROTTLED, DOWN, REFUSED]
    for permit, outcome in zip(old, outcomes * 10, strict=True):
        assert permit is not None
        assert not gate.holds(permit)
        gate.heard(permit, outcome, 2)
        gate.leave(permit)
    assert first_permit(gate, 2) == 31


def test_a_message_that_may_reach_the_customer_twice_is_a_probe_only_when_no_other_comes() -> None:
    gate = tripped()
    assert gate.enter(20, risky=True) is None
    assert gate.enter(74, risky=True) is None
    permit = gate.enter(75, risky=True)
    assert permit is not None
    gate.heard(permit, SENT, 75)
    gate.leave(permit)
    assert gate.enter(75, risky=True) is not None


def test_its_state_and_its_causes_are_metrics() -> None:
    metrics = Metrics()
    gate = Gate("sms", metrics=metrics)
    assert 'shopflow_channel_paused{cause="misconfigured",channel="sms"} 0.0' in metrics.text().decode()
    tried(gate, REFUSED, 0)
    tried(gate, REFUSED, 30)
    assert gate.enter(31) is None
    tried(gate, DOWN, 60)
    said = metrics.text().decode()
    assert 'shopflow_channel_paused{cause="misconfigured",channel="sms"} 0.0' in said
    assert 'shopflow_channel_paused{cause="outage",channel="sms"} 1.0' in said
    assert 'shopflow_channel_pauses_total{cause="misconfigured",channel="sms"} 1.0' in said
    assert 'shopflow_deliveries_held_total{channel="sms"} 1.0' in said
    tried(gate, SENT, 75)
    assert 'cause="outage",channel="sms"} 0.0' in metrics.text().decode()


@given(st.floats(0.1, 500), st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_no_more_leave_than_the_pace_allows_and_nobody_waits_longer_than_a_second(
    pace: float, gaps: list[float]
) -> None:
    bucket, now, leaves = Pace(pace), 0.0, []
    for gap in gaps:
        now += gap
        delay = bucket.take(now)
        if delay is not None:
            assert 0 <= delay <= WORTH_WAITING
            leaves.append(now + delay)
    burst = int(max(pace, 1))
    assert all(earlier <= later + 1e-6 for earlier, later in pairwise(leaves))
    for start, begin in enumerate(leaves):
        for count, end in enumerate(leaves[start:], start=1):
            assert count <= burst + (end - begin) * pace + 1 + 1e-3


def test_who_is_beyond_the_pace_is_held() -> None:
    gate = opened(pace=2)
    permits = [gate.enter(0) for _ in range(6)]
    assert [None if permit is None else permit.delay for permit in permits] == [0, 0, 0.5, 1.0, None, None]
    assert gate.enter(1) is not None
