"""Processes that die at a step, connections that break at one, and faults that last: nothing is lost or doubled.

A part of what `make chaos` does at every step of a clean run, and with every fault.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from tests.chaos.acts import Scene
from tests.chaos.campaign import Report, judged, kept_logs, last_settled, under_load
from tests.chaos.checker import Violation
from tests.chaos.faults import FAULTS
from tests.chaos.rows import CUT, KILLED
from tests.chaos.shop import opened
from tests.chaos.steps import Struck, cut_at, killed_at

QUICK = ("K2", "K4", "K5", "K7", "K9", "K10", "K12", "K13", "K14", "K16", "K17")
LASTING = ("D-4", "N-1")
INVARIANTS = [f"I{number}" for number in range(1, 11)]


class Played(NamedTuple):
    """What was done, what was wrong afterwards, and where the services' logs are if anything was."""

    struck: list[Struck]
    found: list[Violation]
    kept: list[str]


@pytest.fixture(scope="module")
async def played() -> AsyncIterator[Played]:
    """One shop, every fault of this part, one verdict."""
    async with opened(seed=1) as shop:
        scene = await Scene.set_up(shop)
        struck = [await killed_at(scene, point) for row in QUICK for point in KILLED[row]]
        struck += [await cut_at(scene, point) for row in CUT for point in CUT[row]]
        await under_load(scene, [each for each in FAULTS if each.row in LASTING], say=lambda _: None)
        await last_settled(scene, struck)
        report, kept = Report(1), list[str]()
        found = await judged(scene, report)
        kept_logs(shop, report, kept.append)
        yield Played(struck, found, kept)


@pytest.mark.timeout(400)  # the first of them waits for the fixture, in which everything happens
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
