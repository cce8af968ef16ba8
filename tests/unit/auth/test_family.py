"""What a refresh token is good for: each window at its bound, to the microsecond (A2, A3), and a model of them all."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shopflow.auth.family import (
    IDLE,
    LIFETIME,
    LOST_ANSWER,
    SAME_MOMENT,
    Link,
    Refuse,
    Repeat,
    Reuse,
    Rotate,
    Verdict,
    judge,
    link,
)

START = datetime(2026, 2, 17, 10, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def chain(*used: timedelta | None) -> list[Link]:
    """Refresh tokens in order, each first used so long after the start."""
    return [
        Link(
            sequence=number,
            jti=UUID(int=number),
            issued_at=START,
            expires_at=START + IDLE,
            first_used_at=None if at is None else START + at,
        )
        for number, at in enumerate(used, start=1)
    ]


def verdict(links: list[Link], shown: int, now: timedelta) -> Verdict:
    child = links[shown] if shown < len(links) else None
    return judge(links[shown - 1], child=child, newest=links[-1], now=START + now)


def test_the_newest_token_is_rotated_until_it_expires() -> None:
    assert verdict(chain(None), 1, timedelta()) == Rotate()
    assert verdict(chain(None), 1, IDLE - TICK) == Rotate()
    assert verdict(chain(None), 1, IDLE) == Refuse()


@pytest.mark.parametrize(
    ("after", "repeats"), [(-TICK, True), (timedelta(), True), (TICK, False)], ids=["before", "at", "after"]
)
def test_a_lost_answer_is_repeated_for_five_minutes_inclusive(after: timedelta, repeats: bool) -> None:
    links = chain(timedelta(), None)
    assert verdict(links, 1, LOST_ANSWER + after) == (Repeat(links[1]) if repeats else Reuse())


@pytest.mark.parametrize(
    ("after", "repeats"), [(-TICK, True), (timedelta(), True), (TICK, False)], ids=["before", "at", "after"]
)
def test_any_ancestor_gives_the_newest_for_ten_seconds_inclusive(after: timedelta, repeats: bool) -> None:
    links = chain(timedelta(), timedelta(seconds=1), timedelta(seconds=2), None)
    assert verdict(links, 1, SAME_MOMENT + after) == (Repeat(links[3]) if repeats else Reuse())


def test_once_the_successor_was_used_only_the_ten_seconds_count() -> None:
    links = chain(timedelta(), timedelta(seconds=11), None)
    assert verdict(links, 1, timedelta(seconds=12)) == Reuse()
    assert verdict(links, 2, timedelta(seconds=12)) == Repeat(links[2])


@pytest.mark.row("A-10")
def test_the_window_does_not_move_with_each_reuse() -> None:
    links = chain(timedelta(), None)
    seen = [type(verdict(links, 1, timedelta(seconds=seconds))) for seconds in range(9, 3600, 9)]
    assert seen == [Repeat] * (300 // 9) + [Reuse] * (399 - 300 // 9)


def test_an_expired_token_is_refused_and_is_no_theft() -> None:
    assert verdict(chain(timedelta(), None), 1, IDLE) == Refuse()


def test_a_token_ends_with_its_family_at_the_latest() -> None:
    ends_at = START + LIFETIME
    assert link(1, jti=UUID(int=1), now=START, ends_at=ends_at).expires_at == START + IDLE
    late = link(9, jti=UUID(int=9), now=ends_at - timedelta(days=1), ends_at=ends_at)
    assert late.expires_at == ends_at


def test_the_times_of_a_token_are_whole_seconds() -> None:
    made = link(1, jti=UUID(int=1), now=START + timedelta(milliseconds=999), ends_at=START + LIFETIME)
    assert made.issued_at == START


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 400)), max_size=30))
def test_a_family_behaves_as_its_model(steps: list[tuple[int, int]]) -> None:
    """Shows any token, any number of seconds later, again and again; the model knows only first uses."""
    links, used, now = chain(None), {}, 0
    for shown, wait in steps:
        number = min(shown, len(links) - 1) + 1
        now += wait
        answer = verdict(links, number, timedelta(seconds=now))
        if number not in used:
            assert answer == Rotate()
            used[number] = now
            links[-1] = Link(
                sequence=number,
                jti=links[-1].jti,
                issued_at=START,
                expires_at=START + IDLE,
                first_used_at=START + timedelta(seconds=now),
            )
            links += [Link(sequence=number + 1, jti=UUID(int=9), issued_at=START, expires_at=START + IDLE)]
            continue
        tolerated = now - used[number] <= (300 if number + 1 not in used else 10)
        assert answer == (Repeat(links[-1]) if tolerated else Reuse())
        if not tolerated:
            return
