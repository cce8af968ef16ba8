"""Proof that the proof works: known bugs are put back into a copy of the services, and the suite has to see each.

First it runs on the services as they are, with the same patience: what it finds afterwards is the bug's.

`make chaos-mutants` runs it. Exit status 0: every bug was found. 1: one was not.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

from tests.chaos.campaign import steps
from tests.chaos.shop import ROOT

CLAIM = "free_at <= clock_timestamp() AND attempt_id IS NOT DISTINCT FROM $3"


PATIENCE = 50.0
"""Seconds to wait for what a bug has lost; more than a lease and a pause, which is what takes longest without one."""


@dataclass(frozen=True)
class Mutant:
    """A bug: what is changed into what, in which file below `src/shopflow`, and the rows that must find it.

    `breaks` is the invariant that it breaks: another complaint does not count.
    """

    name: str
    changes: tuple[tuple[str, str, str], ...]
    rows: tuple[str, ...]
    breaks: str = ""


SOUND = Mutant("nothing", (), ("B-9", "K1", "K4", "K7", "K12", "E-1"))

MUTANTS = (
    Mutant(
        "the broker's confirm is not waited for",
        (("kit/rabbitmq/publisher.py", "publisher_confirms=True, on_return_raises=True", "publisher_confirms=False"),),
        ("B-9",),
        "I5",
    ),
    Mutant(
        "a delivery is sent without a claim",
        (
            ("notifications/deliver.py", "notification.status is not DeliveryStatus.QUEUED", "False"),
            ("notifications/store.py", CLAIM, "($3::uuid IS NULL OR true)"),
        ),
        ("K12",),
        "I4",
    ),
    Mutant(
        "a message is acknowledged before it is handled",
        (
            (
                "kit/consumer.py",
                "        started = perf_counter()\n",
                "        started = perf_counter()\n        await delivery.acknowledge()\n",
            ),
            ("kit/consumer.py", "        else:\n            await delivery.acknowledge()\n", ""),
        ),
        ("K7", "K8"),
        "I5",
    ),
    Mutant(
        "somebody else's lease is not looked at",
        (
            ("notifications/deliver.py", "notification.due_in > 0", "False"),
            ("notifications/store.py", "free_at <= clock_timestamp() AND ", ""),
        ),
        ("E-1",),
        "I4",
    ),
    Mutant(
        "the event is not written with the order",
        (
            (
                "orders/placements.py",
                "SELECT $13, $1, $14, $15, $16 FROM taken",
                "SELECT $13, $1, $14, $15, $16 FROM taken WHERE random() < 0.5",
            ),
        ),
        ("K1", "K2", "K3", "K4"),
        "I1",
    ),
)


def mutated(mutant: Mutant, folder: Path, *, original: Path = ROOT / "src") -> Path:
    """A copy of the services with the bug in it. Raises ValueError when what it changes is not there exactly once."""
    source = folder / "src"
    copytree(original, source)
    for file, old, new in mutant.changes:
        path = source / "shopflow" / file
        text = path.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{file} does not hold exactly once: {old!r}")
        path.write_text(text.replace(old, new))
    return source


async def found(mutant: Mutant, original: Path) -> Counter[str]:
    """What the suite says about a mutant: how often each invariant is broken."""
    with tempfile.TemporaryDirectory(prefix="shopflow-mutant-") as folder:
        source = mutated(mutant, Path(folder), original=original)
        report = await steps(1, source=source, say=lambda _: None, rows=mutant.rows, patience=PATIENCE)
        return Counter(violation.partition(" ")[0] for violation in report.violations)


def main() -> int:
    """Try them one after the other."""
    parser = argparse.ArgumentParser(prog="scripts/chaos-mutants", description=__doc__)
    parser.add_argument("--bug", default="", help="only those in whose name this stands")
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="the services' code, if not this tree's")
    arguments = parser.parse_args()
    wanted = [mutant for mutant in MUTANTS if arguments.bug in mutant.name]
    if not arguments.bug and (complaints := asyncio.run(found(SOUND, arguments.source))):
        sys.stdout.write(f"without any bug: {dict(complaints)}\n")
        return 1
    missed = sum(not _is_found(mutant, arguments.source) for mutant in wanted)
    sys.stdout.write(f"{len(wanted) - missed} of {len(wanted)} bugs found\n")
    return 1 if missed else 0


def _is_found(mutant: Mutant, original: Path) -> bool:
    broken = asyncio.run(found(mutant, original))
    verdict = f"found, {mutant.breaks} is broken" if broken[mutant.breaks] else "NOT FOUND"
    sys.stdout.write(f"{mutant.name}: {verdict} {dict(broken)}\n")
    sys.stdout.flush()
    return bool(broken[mutant.breaks])


if __name__ == "__main__":
    sys.exit(main())
