"""What an attack found and how that is told. Decides nothing about what a finding is."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: what, by which evidence, how bad."""

    title: str
    evidence: str
    severity: Severity


@dataclass
class Notes:
    """What one attack tried, what it saw, what it found. The same finding is kept once and counted."""

    tried: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    found: dict[str, Finding] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)

    def saw(self, what: str) -> None:
        """Notes one try and what came of it, in a word: a status, or `closed`."""
        self.tried += 1
        self.seen[what] += 1

    def finds(self, title: str, evidence: str, severity: Severity) -> None:
        """Notes a finding; of several with one title the first one's evidence is kept."""
        self.repeated[title] += 1
        self.found.setdefault(title, Finding(title, " ".join(evidence.split())[:600], severity))

    @property
    def summary(self) -> str:
        """What was seen, the most frequent first, in one line."""
        return ", ".join(f"{count} times {what}" for what, count in self.seen.most_common(8)) or "nothing to see"
