"""The schedule of the peak: its rate, its order, and what belongs to each order."""

import random
from collections import Counter

from bench.driver import Arrival
from bench.traffic import STORY, STORY_SECONDS, What, orders_in, schedule


def peak(**changed: float) -> list[Arrival]:
    wanted = {"orders_per_minute": 500.0, "warm_up": 10.0, "seconds": 60.0} | changed
    return schedule(**wanted, logins=10, dice=random.Random(1))  # noqa: S311 - a schedule is no secret


def test_the_rate_of_orders_is_the_one_asked_for() -> None:
    placed = [each for each in peak() if each.what == What.PLACE and each.measured]

    assert abs(len(placed) - 500) <= 1


def test_calls_come_in_the_order_of_their_times() -> None:
    times = [each.at for each in peak()]

    assert times == sorted(times)


def test_every_order_has_each_call_of_its_story_once() -> None:
    calls = peak()
    found = Counter((each.subject, each.what) for each in calls if each.what != What.LOGIN)

    assert set(found.values()) == {1}
    assert len(found) == orders_in(calls) * len(STORY)


def test_the_transitions_of_an_order_come_after_it_and_one_after_the_other() -> None:
    steps = [What.PLACE, What.CONFIRM, What.SHIP, What.DELIVER]
    times = {(each.subject, each.what): each.at for each in peak()}

    for subject in range(500):
        at = [times[subject, step] for step in steps]
        assert at == sorted(at)


def test_the_load_is_even_until_the_last_measured_call() -> None:
    per_second = Counter(int(each.at) for each in peak() if each.measured and each.what != What.LOGIN)

    assert set(per_second) == set(range(10, 70))
    assert min(per_second.values()) > 0.6 * max(per_second.values())


def test_warm_up_and_tail_are_not_measured() -> None:
    calls = peak()

    assert {each.measured for each in calls if each.at < 10 or each.at >= 70} == {False}
    assert max(each.at for each in calls) <= 70 + 2 * STORY_SECONDS


def test_sign_ins_are_spread_over_what_is_measured() -> None:
    logins = [each for each in peak() if each.what == What.LOGIN]

    assert len(logins) == 10
    assert all(each.measured for each in logins)
    assert [round(each.at) for each in logins] == [13, 19, 25, 31, 37, 43, 49, 55, 61, 67]


def test_the_same_dice_give_the_same_schedule() -> None:
    assert peak() == peak()
