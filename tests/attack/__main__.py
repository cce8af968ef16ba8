"""Attacks the platform of one home folder and says what was found: `make attack`, `python -m tests.attack`.

Exit status: 0 nothing found, 1 something was, or not everything could be tried, 2 nothing runs.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from tests.attack.campaign import ATTACKS, Told, run
from tests.attack.scene import Scene
from tests.attack.target import NothingRuns, found


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__.splitlines()[0])
    default = Path(os.environ.get("SHOPFLOW_HOME") or ".shopflow")
    parser.add_argument("--home", type=Path, default=default, help="the platform's state folder")
    parser.add_argument("--seconds", type=float, default=300, help="how long it may take; less time, fewer tries")
    parser.add_argument("--share", type=float, help="how much of all tries to make, from 0 to 1")
    parser.add_argument("--only", metavar="WORD", help="only the attacks whose name has this in it")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end, progress on stderr")
    wanted = parser.parse_args(arguments)
    try:
        target = found(wanted.home)
    except NothingRuns as reason:
        say(str(reason), sys.stderr)
        return 2
    out = sys.stderr if wanted.json else sys.stdout
    say(f"Attacking the platform in {wanted.home} for at most {wanted.seconds:.0f} s.", out)
    started = monotonic()
    told = asyncio.run(campaign(Scene(target, seconds=wanted.seconds, share=wanted.share), wanted.only or "", out))
    say(json.dumps(document(told), indent=1) if wanted.json else summary(told, monotonic() - started), sys.stdout)
    return 1 if any(each.findings or each.broken for each in told) else 0


def say(text: str, out: TextIO) -> None:
    """One thing for whoever watches, at once."""
    out.write(f"{text}\n")
    out.flush()


async def campaign(scene: Scene, only: str, out: TextIO) -> list[Told]:
    """Every attack that is wanted, each told as soon as it is over."""
    chosen = tuple(each for each in ATTACKS if only in f"{each.__module__}.{each.__name__}")
    return await run(scene, chosen, tell=lambda told: say(line(told), out))


def line(told: Told) -> str:
    """One attack for people: what it was, what was seen, what was found."""
    verdict = "FOUND" if told.findings else "BROKEN" if told.broken else "nothing found"
    first = f"{told.name:<26} {verdict:<14} {told.notes.tried:>5} tries, {told.seconds:5.1f} s"
    rest = [f"  tried: {told.what}", f"  seen:  {told.notes.summary}"]
    if told.broken:
        rest.append(f"  broken: {told.broken}")
    for title, each in told.notes.found.items():
        times = told.notes.repeated[title]
        rest.append(f"  {each.severity.name}: {title}{f' ({times} times)' if times > 1 else ''}\n    {each.evidence}")
    return "\n".join([first, *rest])


def summary(told: list[Told], seconds: float) -> str:
    """The end of a run."""
    findings = sum(len(each.findings) for each in told)
    broken = [each.name for each in told if each.broken]
    tries = sum(each.notes.tried for each in told)
    left = f" Not carried through: {', '.join(broken)}." if broken else ""
    what = "Nothing found" if not findings else f"{findings} findings"
    return f"\n{what} in {len(told)} attacks with {tries} tries and {seconds:.0f} s.{left}"


def document(told: list[Told]) -> dict[str, Any]:
    """A run for programs."""
    return {
        "attacks": [
            {
                "name": each.name,
                "tries": each.notes.tried,
                "seen": dict(each.notes.seen),
                "seconds": round(each.seconds, 1),
                "broken": each.broken or None,
                "findings": [
                    {"title": one.title, "evidence": one.evidence, "severity": one.severity.name.lower()}
                    for one in each.findings
                ],
            }
            for each in told
        ],
        "found": sum(len(each.findings) for each in told),
    }


if __name__ == "__main__":
    sys.exit(main())
