"""Processes that die at a step, and connections that break at one: nothing is lost and nothing doubled.

A part of what `make chaos` does at every step of a clean run.
"""

from collections.abc import AsyncIterator

import pytest
from tests.chaos.acts import Scene
from tests.chaos.checker import violations
from tests.chaos.evidence import collected, quiet
from tests.chaos.rows import CUT, KILLED
from tests.chaos.shop import opened
from tests.chaos.steps import Struck, cut_at, killed_at

QUICK = ("K2", "K4", "K5", "K7", "K9", "K10", "K12", "K13", "K14", "K16", "K17")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened(seed=1) as shop:
        yield await Scene.set_up(shop)


@pytest.mark.timeout(400)
@pytest.mark.row(*QUICK, *CUT)
async def test_nothing_is_lost_and_nothing_doubled_wherever_a_process_dies_or_a_connection_breaks(scene: Scene) -> None:
    struck: list[Struck] = []
    for row in QUICK:
        struck += [await killed_at(scene, point) for point in KILLED[row]]
    for row in CUT:
        struck += [await cut_at(scene, point) for point in CUT[row]]
    assert [str(each.point) for each in struck if not each.sprung] == []
    for each in struck:
        await each.settling
    assert await quiet(scene.shop, within=60)
    assert violations(scene.history, await collected(scene.shop)) == []
