"""How long the event loop keeps what is due waiting: the first thing that everybody feels when something blocks it.

It asks the clock fifty times a second and does nothing else.
"""

import asyncio
from time import monotonic
from typing import Final

from shopflow.kit.metrics import Metrics

_EVERY: Final = 0.02


class LoopLag:
    """A resource that measures while it is open, by being called later than it asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram("event_loop_lag_seconds", "How late the event loop runs what is due.")
        self.largest = 0.0
        metrics.observed("event_loop_lag_max_seconds", "The largest lag since the start.", lambda: self.largest)
        self._next: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Begins to measure."""
        self._again(asyncio.get_running_loop())

    async def close(self) -> None:
        """Measures no more."""
        if self._next is not None:
            self._next.cancel()

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        due = monotonic() + _EVERY  # the loop's own clock stands still while a callback runs
        self._next = loop.call_later(_EVERY, self._measure, loop, due)

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        lag = max(0.0, monotonic() - due)
        self._seconds.observe(lag)
        self.largest = max(self.largest, lag)
        self._again(loop)
