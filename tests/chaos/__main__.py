"""`make chaos`: plays runs of faults, prints what was seen, and says whether every invariant held.

Exit status 0: every invariant held. 1: one did not; the seed that is printed repeats the run.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import SystemRandom
from time import monotonic

from tests.chaos.campaign import Report, at_random, lasting, steps, written
from tests.chaos.faults import FAULTS
from tests.chaos.rows import CUT, KILLED
from tests.chaos.several import several
from tests.chaos.shop import ROOT

SECONDS_AT_RANDOM = 300.0
RUNS = ("steps", "lasting", "several", "random")


def main() -> int:
    """Read the arguments, play, report."""
    arguments = _arguments()
    seed = SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    _print(f"chaos: --seed {seed} repeats this run")
    reports = asyncio.run(_played(arguments, seed))
    _print(f"chaos: figures in {written(reports, Path(tempfile.mkdtemp(prefix='shopflow-chaos-report-')))}")
    return 0 if all(report.is_green for report in reports.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run; by default another one each time")
    parser.add_argument("--run", choices=RUNS, action="append", help="only this part; may be given again")
    parser.add_argument("--row", action="append", default=[], help="only these rows of the matrix; may be given again")
    parser.add_argument("--seconds", type=float, default=SECONDS_AT_RANDOM, help="how long chance plays")
    parser.add_argument("--orders", type=int, default=0, help="chance plays until so many orders were placed")
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="the services' code, if not this tree's")
    return parser.parse_args()


async def _played(arguments: argparse.Namespace, seed: int) -> dict[str, Report]:
    chosen = [fault for fault in FAULTS if fault.row in arguments.row] if arguments.row else FAULTS
    source, rows = arguments.source, arguments.row
    runs: dict[str, Callable[[], Awaitable[Report]]] = {
        "steps": lambda: steps(seed, source=source, say=_say, rows=rows, alone=bool(rows)),
        "lasting": lambda: lasting(seed, source=source, say=_say, chosen=chosen),
        "several": lambda: several(seed, source=source, say=_say, rows=rows),
        "random": lambda: at_random(seed, source=source, say=_say, seconds=arguments.seconds, orders=arguments.orders),
    }
    wanted = arguments.run or (_runs_of(rows) if rows else RUNS)
    reports = {}
    for name in wanted:
        _print(f"chaos: {name}")
        reports[name] = await runs[name]()
        for line in reports[name].lines():
            _print(line)
    return reports


def _runs_of(rows: list[str]) -> list[str]:
    """The runs in which rows occur."""
    members = {
        "steps": {*KILLED, *CUT, "E-1"},
        "lasting": {fault.row for fault in FAULTS},
        "several": {"K20", "K21", "K22", "B-21"},
        "random": {"K23"},
    }
    return [name for name in RUNS if members[name] & set(rows)]


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


_BEGAN = monotonic()


def _say(line: str) -> None:
    _print(f"{monotonic() - _BEGAN:6.0f} s  {line}")


if __name__ == "__main__":
    sys.exit(main())
