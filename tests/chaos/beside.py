"""Plays the runs of a campaign on several platforms side by side, and puts together what they saw.

Most of a run is waiting: for leases, for pauses, for a process to start. Each platform is a process with servers and
ports of its own. Nothing is left out: the parts of a run are together what one platform would have played.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.campaign import Report, Say, Seen, Share
from tests.chaos.shop import ROOT

SHARES: Final = {"random": 1, "several": 4, "lasting": 2, "steps": 4}
"""Into how many parts each run is split, those that take longest first."""

_STOPPED_WITHIN: Final = 60.0


@dataclass(frozen=True)
class Part:
    """What one platform plays."""

    run: str
    share: Share

    def __str__(self) -> str:
        return f"{self.run} {self.share}"


@dataclass
class Campaign:
    """What all platforms have in common.

    Attributes:
        seed: of every part.
        folder: where parts write what they saw.
        options: handed on to each part's command line.
        at_once: how many platforms there are at the same time.
        say: takes a line for a person.
    """

    seed: int
    folder: Path
    options: Sequence[str]
    at_once: int
    say: Say
    _recorded: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def points(self) -> Path:
        """The steps of the one clean run, which those who strike at them share."""
        return self.folder / "points.json"

    async def play(self, wanted: Sequence[str]) -> dict[str, Report]:
        """Play these runs; answers one report for each."""
        parts = [Part("clean", Share())] if "steps" in wanted else []
        parts += [Part(run, Share(n, of)) for run, of in SHARES.items() if run in wanted for n in range(1, of + 1)]
        room = asyncio.Semaphore(self.at_once)
        reports = await asyncio.gather(*(self._in_turn(part, room) for part in parts))
        named: dict[str, list[Report]] = {}
        for part, report in zip(parts, reports, strict=True):
            named.setdefault(part.run, []).append(report)
        return {run: merged(each) for run, each in named.items()}

    async def _in_turn(self, part: Part, room: asyncio.Semaphore) -> Report:
        async with room:  # first come, first served: the clean run has begun before anybody asks for its steps
            if part.run == "steps":
                await self._recorded.wait()
            try:
                return await self._played(part)
            finally:
                if part.run == "clean":
                    self._recorded.set()

    async def _played(self, part: Part) -> Report:
        path = self.folder / f"{part.run}-{part.share.number}.json"
        async with _process(self._command(part, path)) as process:
            last = await self._told(part, process)
            status = await process.wait()
        if not path.exists():
            return Report(self.seed, violations=[f"{part} broke with status {status}: {last}"])
        (found,) = json.loads(path.read_text()).values()
        del found["is_green"], found["figures"]  # no run of these has figures to reach
        return Report(**{**found, "seen": [Seen(**each) for each in found["seen"]]})

    def _command(self, part: Part, report: Path) -> tuple[str, ...]:
        points = ("--points", str(self.points)) if part.run in {"clean", "steps"} else ()
        alone = ("--side-by-side", "1", "--run", part.run, "--share", str(part.share), "--report", str(report))
        return (sys.executable, "-m", "tests.chaos", "--seed", str(self.seed), *alone, *points, *self.options)

    async def _told(self, part: Part, process: asyncio.subprocess.Process) -> str:
        """Hands on what it says, line by line; answers the last one."""
        assert process.stdout is not None
        line = ""
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.say(f"[{part}] {line}")
        return line


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A part's process, which is interrupted, and so takes its servers down, when nobody waits for it any more."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(_STOPPED_WITHIN):
                await process.wait()


def merged(reports: Sequence[Report]) -> Report:
    """What the parts of a run saw, as if one platform had played it; its seconds are those of the longest part."""
    whole = Report(reports[0].seed)
    seen: dict[tuple[str, str], Seen] = {}
    for report in reports:
        for each in report.seen:
            entry = seen.setdefault((each.row, each.what), Seen(each.row, each.what))
            entry.times += each.times
            entry.slowest = max(entry.slowest, each.slowest)
            if each.median_answer is not None:
                entry.median_answer = max(entry.median_answer or 0.0, each.median_answer)
        whole.violations += report.violations
        whole.orders += report.orders
        whole.events += report.events
        whole.messages += report.messages
        whole.parked += report.parked
        whole.doubted += report.doubted
        whole.seconds = max(whole.seconds, report.seconds)
    whole.seen = list(seen.values())
    return whole
