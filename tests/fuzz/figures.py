"""What a campaign sent and what came of it, counted."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figures:
    """What was sent and what came of it.

    Attributes:
        sent: how many requests by operation, caller and status.
        failures: what was found, by what it is about, with one request each that shows it.
        excused: how often each excuse was used.
    """

    sent: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    excused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(self.sent.values())

    def operations(self) -> Counter[str]:
        """Requests by operation."""
        found: Counter[str] = Counter()
        for (operation, _, _), number in self.sent.items():
            found[operation] += number
        return found

    def statuses(self, operation: str) -> Counter[int]:
        """Answers of an operation by status."""
        found: Counter[int] = Counter()
        for (of, _, status), number in self.sent.items():
            if of == operation:
                found[status] += number
        return found

    def succeeded(self, operation: str) -> bool:
        """Whether an operation did what it is for, at least once."""
        return any(status < 300 for status in self.statuses(operation))

    def as_json(self) -> dict[str, Any]:
        """Everything that is worth keeping."""
        return {
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "operations": {each: dict(self.statuses(each)) for each in sorted(self.operations())},
            "callers": dict(self._of_callers()),
            "excused": dict(self.excused),
            "failures": self.failures,
        }

    def _of_callers(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, caller, _), number in self.sent.items():
            found[caller] += number
        return found
