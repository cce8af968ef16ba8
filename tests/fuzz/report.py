"""The figures of a long run: each part writes its own file, and a program puts them together at the end.

`python -m tests.fuzz.report FOLDER` prints the summary of a folder.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import strftime
from typing import Any

PROGRESS = "progress.log"


class Report:
    """Where one run leaves what it has to say.

    Args:
        folder: an existing folder; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def say(self, text: str) -> None:
        """A line about how far it has come; `scripts/fuzz` shows it at once."""
        if self._folder is not None:
            with (self._folder / PROGRESS).open("a") as log:
                log.write(f"{strftime('%H:%M:%S')} {text}\n")

    def keep(self, part: str, figures: Mapping[str, Any]) -> None:
        """The figures of one part: numbers, and one level of named numbers."""
        if self._folder is not None:
            (self._folder / f"{part}.json").write_text(json.dumps(figures, indent=1))


def summary(folder: Path) -> str:
    """All figures of a folder, to be read; those of one service's shares are added up."""
    parts = {each.stem: json.loads(each.read_text()) for each in sorted(folder.glob("*.json"))}
    lines = []
    for service in ("auth", "orders", "notifications"):
        shares = [figures for name, figures in parts.items() if name.startswith(f"requests-{service}")]
        if shares:
            lines += _of_service(service, shares)
    total = sum(figures["requests"] for name, figures in parts.items() if name.startswith("requests-"))
    if total:
        lines.append(f"requests in all: {total}")
    for name, figures in parts.items():
        if not name.startswith("requests-"):
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    return "\n".join(lines)


def _of_service(service: str, shares: list[dict[str, Any]]) -> list[str]:
    operations: dict[str, Counter[str]] = {}
    excused: Counter[str] = Counter()
    for share in shares:
        excused.update(share["excused"])
        for operation, statuses in share["operations"].items():
            operations.setdefault(operation, Counter()).update(statuses)
    requests, seconds = sum(each["requests"] for each in shares), sum(each["seconds"] for each in shares)
    lines = [f"{service}: {requests} requests in {seconds:.0f} s of {len(shares)} runs"]
    for operation, statuses in sorted(operations.items()):
        told = "  ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
        lines.append(f"  {operation:<44} {sum(statuses.values()):>7}   {told}")
    return lines + [f"  excused {number}: {reason}" for reason, number in excused.most_common()]


if __name__ == "__main__":
    sys.stdout.write(summary(Path(sys.argv[1])) + "\n")
