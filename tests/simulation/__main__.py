"""Plays schedules of relays, consumers, broker and providers in virtual time, each told by its seed, and judges each.

Exit status 0: every invariant held. 1: one did not; what is printed plays that schedule again, with its trace.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import SystemRandom

from tests.simulation.campaign import PROCESSES, Report, at_every_await, by_chance
from tests.simulation.database import Ground
from tests.simulation.judge import played
from tests.simulation.schedule import Bench, Outcome
from tests.simulation.weather import Plan, clean_plan, plan_of

from shopflow.local.postgres import throwaway

SCHEDULES = 10_000


def main() -> int:
    """Read the arguments, play, report."""
    arguments = _arguments()
    with bench() as shared:
        if arguments.replay is not None:
            return _replayed(played(shared, _plan(arguments)))
        seed = SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
        _print(f"simulation: --seed {seed} --schedules {arguments.schedules} repeats this run")
        reports = {
            "a death at every await": at_every_await(shared, seed),
            "by chance": by_chance(shared, range(seed, seed + arguments.schedules), say=_print),
        }
    return _told(reports)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="how many by chance")
    parser.add_argument("--seed", type=int, help="the first one's; by default another each time")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play this one alone, and show its trace")
    parser.add_argument("--dies", choices=(*PROCESSES, "nobody"), help="with --replay: the clean schedule and a death")
    parser.add_argument("--at", type=int, default=0, metavar="STEP", help="with --dies: before which step")
    return parser.parse_args()


def _plan(arguments: argparse.Namespace) -> Plan:
    if arguments.dies is None:
        return plan_of(arguments.replay)
    return clean_plan(arguments.replay, dies=arguments.dies if arguments.at else "", at=arguments.at)


@contextmanager
def bench() -> Iterator[Bench]:
    """What schedules share, on a PostgreSQL of its own that is gone afterwards."""
    ground = Ground()
    with asyncio.Runner() as runner:
        server = throwaway(options={"autovacuum": "off"})
        try:
            ground.run(ground.prepare(runner.run(server.__aenter__())))
            yield Bench(ground)
        finally:
            ground.close()
            runner.run(server.__aexit__(None, None, None))


def _replayed(outcome: Outcome) -> int:
    for line in (*outcome.trace, *(f"broken: {violation}" for violation in outcome.violations)):
        _print(line)
    return 1 if outcome.violations else 0


def _told(reports: dict[str, Report]) -> int:
    for name, report in reports.items():
        for line in report.lines():
            _print(f"simulation: {name}: {line}")
    return 1 if any(report.broken for report in reports.values()) else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
