"""Processes that die at a step, connections that break at one, and faults that last: nothing is lost or doubled.

A part of what `make chaos` does at every step of a clean run, and with every fault.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from tests.chaos.acts import ACTS, Scene
from tests.chaos.campaign import Report, judged, kept_logs, last_settled, under_load
from tests.chaos.checker import Violation
from tests.chaos.faults import FAULTS
from tests.chaos.rows import CUT, KILLED
from tests.chaos.several import FREEZES
from tests.chaos.shop import opened
from tests.chaos.steps import Point, Struck, cut_at, killed_at, recorded

QUICK = ("K2", "K4", "K5", "K7", "K9", "K10", "K12", "K13", "K14", "K16", "K17")
LASTING = ("D-4", "N-1")
NAMED = [point for points in (*KILLED.values(), *CUT.values()) for point in points] + [point for _, point, _ in FREEZES]
INVARIANTS = [f"I{number}" for number in range(1, 11)]


class Played(NamedTuple):
    """A clean run's steps, what was done, what was wrong afterwards, where the services' logs are if anything was."""

    clean: list[Point]
    struck: list[Struck]
    found: list[Violation]
    kept: list[str]


@pytest.fixture(scope="module")
async def played() -> AsyncIterator[Played]:
    """One shop, every fault of this part, one verdict."""
    async with opened(seed=1) as shop:
        scene = await Scene.set_up(shop)
        clean = await recorded(scene, list(ACTS))
        struck = [await killed_at(scene, point) for row in QUICK for point in KILLED[row]]
        struck += [await cut_at(scene, point) for row in CUT for point in CUT[row]]
        await under_load(scene, [each for each in FAULTS if each.row in LASTING], say=lambda _: None)
        await last_settled(scene, struck)
        report, kept = Report(1), list[str]()
        found = await judged(scene, report)
        kept_logs(shop, report, kept.append)
        yield Played(clean, struck, found, kept)


@pytest.mark.timeout(400)  # the first of them waits for the fixture, in which everything happens
@pytest.mark.parametrize("point", NAMED, ids=str)
def test_a_step_that_stands_for_a_row_is_one_of_a_clean_run(played: Played, point: Point) -> None:
    taken = [each for each in played.clean if (each.act, each.link) == (point.act, point.link)]
    assert len([each for each in taken if each.name.startswith(point.name)]) >= point.occurrence


@pytest.mark.timeout(400)
@pytest.mark.row("K2", "K4", "K5", "K7", "K9", "K10", "K12", "K13", "K14", "K16", "K17", "B-9", "D-11", "N-7")
def test_every_fault_struck_at_its_step(played: Played) -> None:
    assert [str(each.point) for each in played.struck if not each.sprung] == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("invariant", INVARIANTS)
@pytest.mark.row(
    "K2", "K4", "K5", "K7", "K9", "K10", "K12", "K13", "K14", "K16", "K17", "B-9", "D-4", "D-11", "N-1", "N-7"
)
def test_an_invariant_holds_wherever_a_process_dies_or_a_connection_breaks(played: Played, invariant: str) -> None:
    assert [str(each) for each in played.found if each.invariant == invariant] == [], played.kept
