"""Every step of a clean run, and a run with a fault at one of them.

Nobody lists the steps: they are what passed the proxies when nothing was wrong, so a new one is met without a word.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tests.chaos.acts import ACTS, Scene
from tests.chaos.evidence import quiet, settled
from tests.chaos.people import until
from tests.chaos.proxy import Decision
from tests.chaos.shop import Shop, Step

SETTLED_WITHIN: Final = 30.0
FIRES_WITHIN: Final = 20.0
RECOVERS_WITHIN: Final = 60.0
"""Seconds from the end of the last fault to everything settled (I9); a lease of 30 s may lie in between."""

_OF_NO_ACT: Final = re.compile(r"select (1$|clock_timestamp|current_setting|pg_type)|delete |GET /(health|ready)")
"""What a service does by itself every now and then, whatever is asked of it."""


@dataclass(frozen=True, order=True)
class Point:
    """The place where a fault strikes: before a step of an act is forwarded for the `occurrence`-th time.

    `name` is how the step's name begins.
    """

    act: str
    link: str
    name: str
    occurrence: int = 1

    def __str__(self) -> str:
        return f"{self.act}: {self.link} {self.name}{f' #{self.occurrence}' if self.occurrence > 1 else ''}"

    @property
    def process(self) -> str:
        """Whose step it is."""
        return Step(self.link, self.name).process


async def recorded(scene: Scene, acts: list[str]) -> list[Point]:
    """The steps of each act, in the order in which a clean run took them."""
    points: list[Point] = []
    for act in acts:
        play = await ACTS[act](scene)
        await quiet(scene.shop, within=SETTLED_WITHIN)
        counted: Counter[Step] = Counter()

        def watch(step: Step, act: str = act, counted: Counter[Step] = counted) -> Decision:
            if not _OF_NO_ACT.search(step.name):
                counted[step] += 1
                if counted[step] <= _most(step):
                    points.append(Point(act, step.link, step.name, counted[step]))
            return Decision.PASS

        scene.shop.watch = watch
        orders = await play()
        await _settle(scene, orders, within=SETTLED_WITHIN)
        await quiet(scene.shop, within=SETTLED_WITHIN)
        scene.shop.watch = lambda _: Decision.PASS
    return points


def _most(step: Step) -> int:
    """How often the same step of one act is a point: both channels', and every ack of a ladder."""
    return 4 if step.name.endswith("ack") else 2


class Trap:
    """Waits for a point; when it is reached, strikes once and (`decision`) cuts there, before the step is forwarded."""

    def __init__(
        self, shop: Shop, point: Point, strike: Callable[[], None], *, decision: Decision = Decision.CUT
    ) -> None:
        self._shop = shop
        self._point = point
        self._strike = strike
        self._decision = decision
        self._missing = point.occurrence
        self.sprung = asyncio.Event()

    def arm(self) -> None:
        """From now on it waits."""
        self._shop.watch = self._watch

    def disarm(self) -> None:
        """It waits no longer."""
        self._shop.watch = lambda _: Decision.PASS

    def _watch(self, step: Step) -> Decision:
        if self.sprung.is_set() or step.link != self._point.link or not step.name.startswith(self._point.name):
            return Decision.PASS
        self._missing -= 1
        if self._missing:
            return Decision.PASS
        self._strike()
        self.sprung.set()
        return self._decision


@dataclass
class Struck:
    """What came of a fault at one point. `settling` ends when everything that the act led to has settled."""

    point: Point
    kind: str
    sprung: bool
    orders: list[str]
    settling: "asyncio.Task[float]"


async def killed_at(scene: Scene, point: Point) -> Struck:
    """Play an act, kill the process whose step it is, and bring it back."""

    async def again() -> None:
        await scene.shop.restart(point.process)

    return await _struck(scene, point, "killed", scene.shop.processes[point.process].kill, again)


async def cut_at(scene: Scene, point: Point) -> Struck:
    """Play an act and cut the one connection at the step; nothing has to be brought back."""

    async def nothing() -> None:
        return

    return await _struck(scene, point, "cut", lambda: None, nothing)


async def _struck(
    scene: Scene, point: Point, kind: str, strike: Callable[[], None], mend: Callable[[], Awaitable[None]]
) -> Struck:
    play = await ACTS[point.act](scene)
    trap = Trap(scene.shop, point, strike)
    trap.arm()
    playing = asyncio.ensure_future(play())
    try:
        with suppress(TimeoutError):  # said in what is returned: a step that did not come again
            async with asyncio.timeout(FIRES_WITHIN):
                await trap.sprung.wait()
    finally:
        trap.disarm()
    if trap.sprung.is_set():
        await mend()
    mended = monotonic()
    orders = await playing
    settling = asyncio.create_task(_settling(scene, orders, mended))
    return Struck(point, kind, trap.sprung.is_set(), orders, settling)


async def _settling(scene: Scene, orders: list[str], since: float) -> float:
    """Wait for what the act led to; answers the seconds since the fault's end, other faults in between included."""
    await _settle(scene, orders, within=scene.patience)
    return monotonic() - since


async def _settle(scene: Scene, orders: list[str], *, within: float) -> None:
    with suppress(TimeoutError):  # the checker finds what has not settled
        await until(lambda: settled(scene.shop, orders), within=within, every=0.5)
