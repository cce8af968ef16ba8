"""Rate limits as a sliding window (PRD 10.5, R22), counted per key in this process's memory.

A call costs the same however many keys there are, and what is not called any more is forgotten after two windows.
"""

from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Final

from shopflow.kit.problems import Kind, Problem

MEMORY: Final = "memory://"
"""The store of counts that there is; stores that instances share have a place in `RateLimit`'s arguments."""

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class RateLimit:
    """At most so many calls per window and key.

    The calls of the last full window count in proportion to how much of it the sliding window still covers, so that no
    burst passes across a boundary.

    Args:
        rate: such as `100/minute`, or None for no limit.
        clock: seconds that never go back (T-4).
    """

    def __init__(self, rate: str | None, *, clock: Callable[[], float] = monotonic) -> None:
        amount, _, unit = (rate or "0/minute").partition("/")
        self._amount = int(amount) if rate else None
        self._unit = unit
        self._length = _SECONDS[unit]
        self._clock = clock
        self._window = 0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    @property
    def keys(self) -> int:
        """How many keys are being remembered."""
        return len(self._now) + len(self._before)

    async def count(self, key: str) -> None:
        """Counts one call.

        Raises:
            Problem: of kind too-many, when the window of this key is full; then it is not counted.
        """
        if self._amount is not None:
            await self.check(key)
            self._now[key] = self._now.get(key, 0) + 1

    async def check(self, key: str) -> None:
        """Refuses as `count` does when the window is full, and counts nothing: for what is counted only on failure."""
        if self._amount is None:
            return
        passed = self._slide()
        now, before = self._now.get(key, 0), self._before.get(key, 0)
        if now + before * (1 - passed) >= self._amount:
            raise self._full(self._amount, now=now, before=before, passed=passed)

    def _slide(self) -> float:
        """Moves on to the window of this moment; answers how much of it has passed, from 0 to 1."""
        window, within = divmod(self._clock(), self._length)
        if window != self._window:
            self._before = self._now if window == self._window + 1 else {}
            self._now = {}
            self._window = int(window)
        return within / self._length

    def _full(self, amount: int, *, now: int, before: int, passed: float) -> Problem:
        # There is room once enough of the last window has faded; a window that is full has to end first.
        faded, begin = ((amount - now) / before, 0) if now < amount else (amount / now, 1)
        wait = max(1, ceil((begin + 1 - faded - passed) * self._length + 0.001))
        return Problem(
            Kind.TOO_MANY,
            "too-many-requests",
            f"More than {amount} requests in one {self._unit}; try again in {wait} s.",
            retry_after=wait,
        )
