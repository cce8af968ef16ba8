"""Many schedules one after the other, and one schedule for each await of a clean one with the death at that await."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from tests.simulation.judge import played
from tests.simulation.schedule import Bench, Outcome
from tests.simulation.weather import clean_plan, plan_of

PROCESSES: Final = ("orders-1", "notifications-1")
MOST_SHOWN: Final = 5


@dataclass
class Report:
    """What was played, how long it took, and what was wrong."""

    number: int = 0
    steps: int = 0
    seconds: float = 0.0
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts one schedule."""
        self.number += 1
        self.steps += sum(outcome.steps.values())
        if outcome.violations:
            self.broken.append(outcome)

    def lines(self) -> Iterator[str]:
        """For people: how much was played, and how to see the first failures again."""
        a_minute = self.number / self.seconds * 60 if self.seconds else 0.0
        yield (
            f"{self.number} schedules, {self.steps} steps, {self.seconds:.0f} s, {a_minute:.0f} a minute, "
            f"{len(self.broken)} with a broken invariant"
        )
        for outcome in self.broken[:MOST_SHOWN]:
            yield f"{outcome.replay}:"
            yield from (f"    {violation}" for violation in outcome.violations)


def by_chance(bench: Bench, seeds: Iterable[int], *, say: Callable[[str], None] = lambda _: None) -> Report:
    """One schedule for each seed.

    Args:
        bench: what they share.
        seeds: which.
        say: hears now and then how far it is.
    """
    report, began = Report(), monotonic()
    for seed in seeds:
        report.add(played(bench, plan_of(seed)))
        report.seconds = monotonic() - began
        if report.number % 500 == 0:
            say(next(report.lines()))
    return report


def at_every_await(bench: Bench, seed: int, *, every: int = 1) -> Report:
    """A clean schedule, and one for each of its awaits, or each `every`-th, with the death of its process there."""
    report, began = Report(), monotonic()
    clean = played(bench, clean_plan(seed))
    report.add(clean)
    for name in PROCESSES:
        for step in range(1 + seed % every, clean.steps[name] + 1, every):
            report.add(played(bench, clean_plan(seed, dies=name, at=step)))
    report.seconds = monotonic() - began
    return report
