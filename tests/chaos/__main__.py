"""`make chaos`: plays runs of faults, prints what was seen, and says whether every invariant held.

Exit status 0: every invariant held. 1: one did not; the seed that is printed repeats the run.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import SystemRandom
from time import monotonic

from tests.chaos.beside import Campaign
from tests.chaos.campaign import WHOLE, Report, Share, at_random, clean, lasting, steps, written
from tests.chaos.faults import FAULTS
from tests.chaos.rows import CUT, KILLED
from tests.chaos.several import ROWS, several
from tests.chaos.shop import ROOT

SECONDS_AT_RANDOM = 300.0
RUNS = ("steps", "lasting", "several", "random")
AT_ONCE = 4
"""Platforms side by side, where no part was asked for: on two cores each waits for most of its time."""


def main() -> int:
    """Read the arguments, play, report."""
    arguments, began = _arguments(), monotonic()
    seed = SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    _print(f"chaos: --seed {seed} repeats this run")
    reports = asyncio.run(_played(arguments, seed))
    for name, report in reports.items():
        _print(f"chaos: {name}")
        for line in report.lines():
            _print(line)
    path = arguments.report or Path(tempfile.mkdtemp(prefix="shopflow-chaos-report-")) / "chaos.json"
    violated = sum(len(report.violations) for report in reports.values())
    _print(
        f"chaos: seed {seed}, {violated} violations, {monotonic() - began:.0f} s, figures in {written(reports, path)}"
    )
    return 1 if violated else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run; by default another one each time")
    parser.add_argument(
        "--run", choices=(*RUNS, "clean"), action="append", help="only this part; may be given again; clean: no fault"
    )
    parser.add_argument("--row", action="append", default=[], help="only these rows of the matrix; may be given again")
    parser.add_argument("--seconds", type=float, default=SECONDS_AT_RANDOM, help="how long chance plays")
    parser.add_argument("--orders", type=int, default=0, help="chance plays until so many orders were placed")
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="the services' code, if not this tree's")
    parser.add_argument(
        "--side-by-side", type=int, metavar="N", help=f"platforms at the same time; {AT_ONCE}, or 1 for rows and shares"
    )
    parser.add_argument("--share", type=Share.read, default=WHOLE, help="only a part of each run, such as 2/3")
    parser.add_argument("--points", type=Path, help="file of a clean run's steps: clean writes it, steps reads it")
    parser.add_argument("--report", type=Path, help="where the figures go, as JSON")
    return parser.parse_args()


async def _played(arguments: argparse.Namespace, seed: int) -> dict[str, Report]:
    wanted = arguments.run or (_runs_of(arguments.row) if arguments.row else RUNS)
    part = bool(arguments.row) or arguments.share != WHOLE or arguments.points is not None or wanted == ["clean"]
    if not part and (at_once := arguments.side_by_side or AT_ONCE) > 1:
        return await _side_by_side(arguments, seed, wanted, at_once)
    runs = _runs(arguments, seed)
    return {name: await runs[name]() for name in wanted}


async def _side_by_side(
    arguments: argparse.Namespace, seed: int, wanted: Sequence[str], at_once: int
) -> dict[str, Report]:
    with tempfile.TemporaryDirectory(prefix="shopflow-chaos-parts-") as folder:
        options = ["--seconds", str(arguments.seconds), "--orders", str(arguments.orders)]
        options += ["--source", str(arguments.source)]
        return await Campaign(seed, Path(folder), options, at_once, _say).play(wanted)


def _runs(arguments: argparse.Namespace, seed: int) -> dict[str, Callable[[], Awaitable[Report]]]:
    rows, points, shared = arguments.row, arguments.points, {"source": arguments.source, "say": _say}
    chosen = [fault for fault in FAULTS if fault.row in rows] if rows else FAULTS
    share = arguments.share
    return {
        "clean": lambda: clean(seed, points=points, **shared),
        "steps": lambda: steps(seed, rows=rows, alone=bool(rows), points=points, share=share, **shared),
        "lasting": lambda: lasting(seed, chosen=chosen, share=share, **shared),
        "several": lambda: several(seed, rows=rows or ROWS, share=share, **shared),
        "random": lambda: at_random(seed, seconds=arguments.seconds / share.of, orders=arguments.orders, **shared),
    }


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
