"""How much the long runs do, and from which seed: from the environment that `scripts/fuzz` prints.

The figures are those of a whole `make fuzz`; the same seed makes up the same input again.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What the long runs are told.

    Attributes:
        seed: where all dice begin.
        requests: HTTP requests in all, over the three services.
        tokens: tokens judged by us and by PyJWT.
        machine_examples: lives of orders and of sessions that are played, of each kind.
        messages: messages published to the broker.
        samples: logins timed of each kind.
        folder: where figures and progress are written; None for nowhere.
    """

    seed: int
    requests: int
    tokens: int
    machine_examples: int
    messages: int
    samples: int
    folder: Path | None


def from_environment() -> Parameters:
    """What the environment says; what it leaves out is as `make fuzz` has it."""
    folder = os.environ.get("FUZZ_REPORT")
    return Parameters(
        seed=_number("FUZZ_SEED", 1),
        requests=_number("FUZZ_REQUESTS", 200_000),
        tokens=_number("FUZZ_TOKENS", 100_000),
        machine_examples=_number("FUZZ_MACHINE_EXAMPLES", 300),
        messages=_number("FUZZ_MESSAGES", 5_000),
        samples=_number("FUZZ_SAMPLES", 250),
        folder=Path(folder) if folder else None,
    )


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)
