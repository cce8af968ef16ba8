"""What clients asked for and what they were told, as it happened: the one side of what the checker compares.

An answer that never came is an outcome of its own: what was asked may have happened or not.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How an operation ended for the client, who repeats it until it knows or gives up."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Operation:
    """One thing that a client wanted, however often it had to ask.

    Attributes:
        kind: `register`, `sign_in`, `refresh`, `place` or `advance`.
        client: the user's id, or the e-mail address before there is one.
        subject: the idempotency key of a `place`; `<order> <status>` of an `advance`.
        statuses: of every answer; None where none came.
        asked: for each of them, when it was asked for and how many seconds later it came, by a clock that never jumps.
        result: the order's id, once known.
    """

    kind: str
    client: str
    subject: str
    outcome: Outcome = Outcome.UNKNOWN
    statuses: list[int | None] = field(default_factory=list)
    asked: list[tuple[float, float]] = field(default_factory=list)
    result: str | None = None


@dataclass
class Recovery:
    """How long something took to be as before, from the end of its fault."""

    fault: str
    seconds: float
    limit: float


@dataclass
class History:
    """Everything that clients did in a run, the secrets they held, and how long faults were felt."""

    operations: list[Operation] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    recoveries: list[Recovery] = field(default_factory=list)

    def begin(self, kind: str, client: str, subject: str) -> Operation:
        """Note an intent before it is carried out."""
        operation = Operation(kind, client, subject)
        self.operations.append(operation)
        return operation

    def of(self, kind: str) -> Iterable[Operation]:
        """The operations of a kind."""
        return (each for each in self.operations if each.kind == kind)

    @property
    def statuses(self) -> Counter[int | None]:
        """How often each answer was given."""
        return Counter(status for each in self.operations for status in each.statuses)
