"""A run of faults and its verdict: kills and cuts at every step, faults that last, and chance. Prints as it goes.

A seed decides the order of everything and what chance throws; the same seed plays the same run.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from tests.chaos.acts import ACTS, Scene
from tests.chaos.checker import Violation, violations
from tests.chaos.evidence import collected, quiet, settled
from tests.chaos.faults import FAULTS, Fault, killing
from tests.chaos.history import Outcome, Recovery
from tests.chaos.load import Load, half_answered_within, recovered
from tests.chaos.people import Person, until
from tests.chaos.rows import CUT, KILLED
from tests.chaos.shop import Shop, opened
from tests.chaos.standing import kept_standing
from tests.chaos.steps import RECOVERS_WITHIN, Point, Struck, cut_at, killed_at, recorded

PATIENCE = 150.0

Say = Callable[[str], None]
T = TypeVar("T")


class Share(NamedTuple):
    """The part of a run that one of several platforms plays: every `of`-th fault, beginning with the `number`-th."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> "Share":
        """From `2/3`. Raises ValueError."""
        number, of = text.split("/")
        share = cls(int(number), int(of))
        if not 1 <= share.number <= share.of:
            raise ValueError(f"{text} is no share")
        return share

    def of_all(self, everything: Sequence[T]) -> list[T]:
        """What of these is this share's."""
        return list(everything[self.number - 1 :: self.of])


WHOLE = Share()


@dataclass
class Seen:
    """One fault as it was seen: how often, how many seconds until all was well again at worst, and what was wrong."""

    row: str
    what: str
    times: int = 0
    slowest: float = 0.0
    median_answer: float | None = None


class Figure(NamedTuple):
    """Something that was measured, and what it had to be."""

    what: str
    seen: float
    least: float | None = None
    most: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether it is within its bounds."""
        return (self.least is None or self.seen >= self.least) and (self.most is None or self.seen <= self.most)

    def __str__(self) -> str:
        least = "" if self.least is None else f", at least {self.least:,.0f} wanted"
        most = "" if self.most is None else f", at most {self.most:,.0f} wanted"
        verdict = "SEEN   " if self.least is self.most else "REACHED" if self.is_reached else "MISSED "
        return f"{verdict} {self.what}: {self.seen:,.0f}{least}{most}"


@dataclass
class Report:
    """What came of a run."""

    seed: int
    seen: list[Seen] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    orders: int = 0
    events: int = 0
    messages: int = 0
    parked: int = 0
    doubted: int = 0
    seconds: float = 0.0

    @property
    def is_green(self) -> bool:
        """Whether every invariant held and every figure was reached."""
        return not self.violations and all(each.is_reached for each in self.figures)

    def lines(self) -> Iterator[str]:
        """What a person reads of it."""
        for each in sorted(self.seen, key=lambda seen: (seen.row, seen.what)):
            answer = "" if each.median_answer is None else f", half of the answers within {each.median_answer:.2f} s"
            yield f"  {each.row:5} {each.what}: {each.times} times, at most {each.slowest:.1f} s to recover{answer}"
        yield from (f"  {figure}" for figure in self.figures)
        yield from (f"  VIOLATED {violation}" for violation in self.violations)
        yield (
            f"  {self.orders} orders, {self.events} events, {self.messages} messages, {self.parked} parked,"
            f" {self.doubted} in doubt, {len(self.violations)} violations, {self.seconds:.0f} s"
        )


async def judged(scene: Scene, report: Report) -> list[Violation]:
    """Wait for rest, collect, and decide."""
    at_rest = await quiet(scene.shop, within=scene.patience)
    evidence = await collected(scene.shop)
    found = violations(scene.history, evidence)
    if not at_rest:
        await kept_standing(scene.shop, "not at rest")
        found.append(Violation("I9", "everything", f"did not come to rest within {scene.patience:.0f} s"))
    report.violations += [str(each) for each in found]
    report.orders = len(evidence.orders)
    report.events = len(evidence.events)
    report.messages = len(evidence.messages)
    report.parked = len({event for event, _ in evidence.parked})
    report.doubted = sum(each.doubts > 0 for each in evidence.notifications)
    return found


async def steps(
    seed: int,
    *,
    source: Path,
    say: Say,
    rows: Sequence[str] = (),
    kinds: Sequence[str] = ("killed", "cut"),
    patience: float = PATIENCE,
    alone: bool = False,
    points: Path | None = None,
    share: Share = WHOLE,
) -> Report:
    """Every process killed, and every connection cut, at every step of a clean run; or only at the points of `rows`.

    What a fault led to settles while the next ones strike, unless each is played `alone`. The steps are read from the
    file `points`, as `clean` has written it, so that those who share them mean the same; or else found out first.
    """
    report, began = Report(seed), monotonic()
    async with opened(seed=seed, source=source) as shop:
        scene = await Scene.set_up(shop, patience=patience)
        plan = await _plan(scene, seed, rows=rows, kinds=kinds, points=points, say=say)
        struck = await _strikes(scene, share.of_all(plan), say=say, alone=alone)
        if "E-1" in rows:
            await (await ACTS["double"](scene))()
        await last_settled(scene, struck)
        _note(report, struck)
        await judged(scene, report)
        kept_logs(shop, report, say)
    report.seconds = monotonic() - began
    return report


async def last_settled(scene: Scene, struck: Sequence[Struck]) -> None:
    """Wait until everything has settled, for which there is a limit after the last fault (I9)."""
    began = monotonic()
    for each in struck:
        await each.settling
    scene.history.recoveries.append(Recovery("faults at steps", monotonic() - began, RECOVERS_WITHIN))


async def clean(seed: int, *, source: Path, say: Say, points: Path | None = None) -> Report:
    """Nothing is wrong, and the steps that were taken are written into the file `points`."""
    report, began = Report(seed), monotonic()
    async with opened(seed=seed, source=source) as shop:
        scene = await Scene.set_up(shop)
        found = await _recorded(scene, say)
        if points is not None:
            points.write_text(json.dumps([asdict(each) for each in found]))
        await judged(scene, report)
        kept_logs(shop, report, say)
    report.seconds = monotonic() - began
    return report


async def _recorded(scene: Scene, say: Say) -> list[Point]:
    points = await recorded(scene, [act for act in ACTS if act != "double"])
    say(f"a clean run took {len(points)} steps")
    return points


async def _plan(
    scene: Scene, seed: int, *, rows: Sequence[str], kinds: Sequence[str], points: Path | None, say: Say
) -> list[tuple[str, Point]]:
    """What strikes where, in the seed's order."""
    if rows:
        plan = [("killed", point) for row in rows for point in KILLED.get(row, ())]
        return plan + [("cut", point) for row in rows for point in CUT.get(row, ())]
    if points is None:
        found = await _recorded(scene, say)
    else:
        found = [Point(**each) for each in json.loads(points.read_text())]
    plan = [(kind, point) for kind in kinds for point in found]
    Random(seed).shuffle(plan)  # noqa: S311 - a seed repeats a run
    return plan


async def _strikes(scene: Scene, plan: Sequence[tuple[str, Point]], *, say: Say, alone: bool) -> list[Struck]:
    struck = []
    for number, (kind, point) in enumerate(plan, 1):
        each = await (killed_at if kind == "killed" else cut_at)(scene, point)
        say(f"{number}/{len(plan)} {kind} at {point}{'' if each.sprung else ': did not come again'}")
        struck.append(each)
        if alone:
            seconds = await each.settling
            scene.history.recoveries.append(Recovery(f"{kind} at {point}", seconds, RECOVERS_WITHIN))
    return struck


def _note(report: Report, struck: Sequence[Struck]) -> None:
    """Summed up by row where a point belongs to one, else by process."""
    rows = {("killed", point): row for row, points in KILLED.items() for point in points}
    rows |= {("cut", point): row for row, points in CUT.items() for point in points}
    seen: dict[tuple[str, str], Seen] = {}
    for each in struck:
        if not each.sprung:
            continue
        named = next((row for (kind, at), row in rows.items() if kind == each.kind and _same(at, each.point)), "")
        what = f"{each.point.process} {each.kind} at {'this step' if named else 'the other steps'}"
        entry = seen.setdefault((named, what), Seen(named or "E1", what))
        entry.times += 1
        entry.slowest = max(entry.slowest, each.settling.result())
    report.seen += seen.values()


def _same(named: Point, met: Point) -> bool:
    alike = named.act == met.act and named.link == met.link and named.occurrence == met.occurrence
    return alike and met.name.startswith(named.name)


async def lasting(
    seed: int, *, source: Path, say: Say, chosen: Sequence[Fault] = FAULTS, share: Share = WHOLE
) -> Report:
    """Every fault that lasts, one after the other in the seed's order, under load."""
    report, began = Report(seed), monotonic()
    order = list(chosen)
    Random(seed).shuffle(order)  # noqa: S311 - a seed repeats a run
    order = share.of_all(order)
    async with opened(seed=seed, source=source) as shop:
        scene = await Scene.set_up(shop)
        report.seen += await under_load(scene, order, say=say)
        await judged(scene, report)
        kept_logs(shop, report, say)
    report.seconds = monotonic() - began
    return report


async def under_load(
    scene: Scene, faults: Sequence[Fault], *, say: Say, customers: int = 4, pause: float = 0.4
) -> list[Seen]:
    """Play faults while customers order; a fresh order tells when each is over."""
    seen = []
    probe = await scene.people.customer()
    async with Load(scene, customers=customers, pause=pause):
        for fault in faults:
            seen.append(await _played(scene, fault, probe=probe))
            say(f"{fault.row} {fault.what}: {seen[-1].slowest:.1f} s to recover")
    return seen


async def _played(scene: Scene, fault: Fault, *, probe: Person) -> Seen:
    begin = monotonic()
    async with fault.begin(scene.shop):
        await asyncio.sleep(fault.seconds)
        end = monotonic()
    name = f"{fault.row} {fault.what}"
    recovery = await recovered(scene, probe, name, limit=fault.limit)
    answered = half_answered_within(scene, begin, end) if fault.slowest else None
    if fault.slowest and answered is not None:
        scene.history.recoveries.append(Recovery(f"{name}: half of the answers", answered, fault.slowest))
    return Seen(fault.row, fault.what, 1, recovery.seconds, answered)


async def at_random(seed: int, *, source: Path, say: Say, seconds: float, orders: int = 0) -> Report:
    """Processes killed, links broken and servers stopped by chance, for so long and so many orders (K23)."""
    report, began = Report(seed), monotonic()
    async with opened(seed=seed, source=source, reads=False) as shop:
        scene = await Scene.set_up(shop)
        probe = await scene.people.customer()
        seen = Seen("K23", "processes, links and servers at random", 0, 0.0)
        report.seen.append(seen)
        async with Load(scene, customers=12 if orders else 6, pause=0.5 if orders else 0.4):
            dice = Random(seed)  # noqa: S311 - a seed repeats a run
            await _thrown_about(scene, dice, seen, probe, say=say, until=monotonic() + seconds, orders=orders)
        await judged(scene, report)
        kept_logs(shop, report, say)
    report.seconds = monotonic() - began
    return report


async def _thrown_about(
    scene: Scene, dice: Random, seen: Seen, probe: Person, *, say: Say, until: float, orders: int
) -> None:
    """One fault after the other, until the time is over and so many orders were acknowledged."""
    while monotonic() < until or acknowledged(scene) < orders:
        fault = _thrown(dice, scene.shop)
        say(f"{acknowledged(scene)} orders: {fault.row} {fault.what}")
        async with fault.begin(scene.shop):
            await asyncio.sleep(dice.uniform(0.2, 1.0) * fault.seconds)
        seen.times += 1
        if dice.random() < 0.5:
            result = await recovered(scene, probe, f"{fault.row} {fault.what}", limit=2 * fault.limit)
            seen.slowest = max(seen.slowest, result.seconds)


def acknowledged(scene: Scene) -> int:
    """How many orders clients know of."""
    return sum(each.outcome is Outcome.DONE for each in scene.history.of("place"))


def _thrown(dice: Random, shop: Shop) -> Fault:
    """A kill as often as everything else together."""
    if dice.random() < 0.5:
        return killing(dice.choice(sorted(shop.processes)))
    return dice.choice([fault for fault in FAULTS if fault.row not in {"B-8", "D-1", "B-1"}])


async def told_within(scene: Scene, orders: list[str], seconds: float) -> float:
    """Wait, for so long at most, until everything that orders led to has settled; answers the seconds it took."""
    began = monotonic()
    with suppress(TimeoutError):  # the checker finds what has not settled
        await until(lambda: settled(scene.shop, orders), within=seconds, every=0.3)
    return monotonic() - began


def kept_logs(shop: Shop, report: Report, say: Say) -> None:
    """What was said in a run that went wrong stays, for whoever looks into it."""
    if not report.is_green:
        say(f"the logs of this run, and how everything stood, are in {shop.kept()}")


def written(reports: dict[str, Report], path: Path) -> Path:
    """Keep the figures of a run as JSON; answers the file."""
    path.write_text(json.dumps({name: _plain(report) for name, report in reports.items()}, indent=1) + "\n")
    return path


def _plain(report: Report) -> dict[str, Any]:
    figures = [{**each._asdict(), "is_reached": each.is_reached} for each in report.figures]
    return {**asdict(report), "figures": figures, "is_green": report.is_green}
