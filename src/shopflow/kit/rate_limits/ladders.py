"""How a delay grows with failures: a number of free ones, then doubling, never beyond a cap. Pure."""

from dataclasses import dataclass
from typing import Final

_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of a growing delay.

    Attributes:
        name: what fails, as the caller is told.
        free: failures that cost nothing.
        cap: the longest delay, in seconds.
        forget: seconds without a failure after which all are forgotten.
    """

    name: str
    free: int
    cap: int
    forget: int

    def delay(self, failures: int) -> int:
        """Seconds that lie between the last of so many failures and the next attempt: 0, …, 0, 1, 2, 4, … cap."""
        if failures < self.free:
            return 0
        return min(self.cap, 1 << min(failures - self.free, _DOUBLINGS))
