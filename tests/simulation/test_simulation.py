"""No schedule breaks an invariant: by chance, and with a death at every await; and every known bug is found."""

from collections.abc import Iterator
from itertools import chain
from random import SystemRandom

import pytest
from tests.simulation.campaign import Report, at_every_await, by_chance
from tests.simulation.database import Ground
from tests.simulation.judge import played
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.schedule import Bench
from tests.simulation.weather import clean_plan, plan_of

from shopflow.local.postgres import PostgreSQL

PARTS = 8
FIXED = 200
"""Schedules of a part that are the same in every run, so that what is green stays green."""

FRESH = 50
"""Those of a part that are others in every run; a failure says which."""

MET = (704829906,)
"""Schedules of longer runs that broke an invariant once."""


@pytest.fixture(scope="module")
def bench(postgres: PostgreSQL) -> Iterator[Bench]:
    ground = Ground()
    ground.run(ground.prepare(postgres))
    yield Bench(ground)
    ground.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_two_thousand_schedules_break_no_invariant(bench: Bench, part: int) -> None:
    fresh = SystemRandom().randrange(10**6, 10**9)
    seeds = chain(range(part * FIXED, (part + 1) * FIXED), range(fresh, fresh + FRESH))
    _expect_sound(by_chance(bench, seeds))


def test_what_broke_an_invariant_once_breaks_none_now(bench: Bench) -> None:
    _expect_sound(by_chance(bench, MET))


def test_a_death_at_any_await_breaks_no_invariant(bench: Bench) -> None:
    report = at_every_await(bench, 1)
    assert report.number > 50
    _expect_sound(report)


def test_a_clean_schedule_sends_everything_once(bench: Bench) -> None:
    outcome = played(bench, clean_plan(1))
    assert outcome.violations == []
    assert sum(line.endswith(("email is sent", "sms is sent")) for line in outcome.trace) == 4


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_known_bug_is_found(bench: Bench, mutant: Mutant) -> None:
    for seed in range(mutant.within):
        broken = {violation.invariant for violation in played(bench, plan_of(seed), mutant.parts).violations}
        if broken & mutant.breaks:
            return
    pytest.fail(f"{mutant.name}: not found within {mutant.within} schedules")


def test_a_seed_repeats_its_schedule_to_the_last_step(bench: Bench) -> None:
    for seed in range(10):
        first, again = played(bench, plan_of(seed)), played(bench, plan_of(seed))
        assert first.trace == again.trace
        assert first.steps == again.steps


def _expect_sound(report: Report) -> None:
    assert not report.broken, "\n".join(("python -m tests.simulation", *report.lines()))
