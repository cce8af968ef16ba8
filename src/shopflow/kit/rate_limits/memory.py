"""Counts in this process's memory, of which it never takes more than a fixed amount.

A call costs the same however many keys there are. What is not called any more is forgotten after two windows. Keys
beyond the bound share a fixed number of slots: then strangers are counted together, but nobody is not counted (A11).
"""

from array import array
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.tables import Table
from shopflow.kit.rate_limits.windows import Policy, Usage, is_full, usage

MOST_KEYS: Final = 20_000
"""Keys of one window, and of failed attempts, that are remembered one by one."""

_SLOTS: Final = 4096
_GENERATIONS: Final = 4  # the latest three quarters of the failures are known, whatever comes


class Memory:
    """A store of counts for one process.

    Args:
        clock: seconds; should it go back, what was counted goes on counting (T-4).
        most: keys of one window that are remembered one by one.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic, most: int = MOST_KEYS) -> None:
        self._clock = clock
        self._most = most
        self._windows: dict[str, _Windows] = {}
        self._failures: dict[str, _Failures] = {}

    async def open(self) -> None:
        """Nothing to wait for."""

    async def close(self) -> None:
        """Nothing to give back."""

    async def answers(self) -> bool:
        """Always."""
        return True

    def keys(self) -> int:
        """How many keys are being remembered."""
        return sum(map(len, self._windows.values())) + sum(map(len, self._failures.values()))

    async def take(self, policy: Policy, key: str) -> Usage:
        """Counts one call, unless there is no room for it."""
        windows = self._windows_of(policy)
        passed = windows.slide(self._clock())
        now, before = windows.now.of(key), windows.before.of(key)
        refused = is_full(policy.amount, now=now, before=before, passed=passed)
        if not refused:
            windows.now.add(key)
            now += 1
        return usage(policy, now=now, before=before, passed=passed, refused=refused)

    def look(self, policy: Policy, key: str) -> Usage | None:
        """The refusal of a key that has no room; counts nothing."""
        windows = self._windows_of(policy)
        passed = windows.slide(self._clock())
        now, before = windows.now.of(key), windows.before.of(key)
        if not is_full(policy.amount, now=now, before=before, passed=passed):
            return None
        return usage(policy, now=now, before=before, passed=passed, refused=True)

    async def attempt(self, ladder: Ladder, key: str) -> float:
        """Counts an attempt as failed, or answers how many seconds it has to wait."""
        return self._failures_of(ladder).attempt(key, self._clock())

    async def forgive(self, ladder: Ladder, key: str) -> None:
        """Forgets every failure."""
        self._failures_of(ladder).forgive(key)

    async def undo(self, ladder: Ladder, key: str) -> None:
        """Takes back one attempt that was never made."""
        self._failures_of(ladder).undo(key)

    def _windows_of(self, policy: Policy) -> "_Windows":
        if (found := self._windows.get(policy.name)) is None:
            found = self._windows[policy.name] = _Windows(policy.seconds, self._most)
        return found

    def _failures_of(self, ladder: Ladder) -> "_Failures":
        if (found := self._failures.get(ladder.name)) is None:
            found = self._failures[ladder.name] = _Failures(ladder, self._most)
        return found


class _Windows:
    """The window that runs, and the one before it, of one policy."""

    def __init__(self, length: int, most: int) -> None:
        self._length = length
        self._most = most
        self._number = 0
        self.now = _Counted(most)
        self.before = _Counted(most)

    def __len__(self) -> int:
        return len(self.now) + len(self.before)

    def slide(self, clock: float) -> float:
        """Moves on to the window of this moment; answers how much of it has passed, from 0 to 1."""
        number, within = divmod(clock, self._length)
        if number > self._number:
            self.before = self.now if number == self._number + 1 else _Counted(self._most)
            self.now = _Counted(self._most)
        self._number = int(number)  # a clock that went back begins no window: what was counted stays
        return within / self._length


class _Counted:
    """The calls of one window: by key up to a bound, beyond it in shared slots.

    Which keys share one is decided by Python's own salted hash: nobody can choose whom to spoil it for.
    """

    __slots__ = ("_keys", "_slots")

    def __init__(self, most: int) -> None:
        self._keys = Table(most)
        self._slots = array("I", [0]) * _SLOTS

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, key: str) -> int:
        place = self._keys.find(key)
        return self._slots[hash(key) % _SLOTS] if place is None else self._keys.counts[place]

    def add(self, key: str) -> None:
        place = self._keys.place(key)
        if place is None:
            self._slots[hash(key) % _SLOTS] += 1
        else:
            self._keys.counts[place] += 1


class _Generation(Table):
    """Failures that were counted from one moment on: how often, and when last."""

    __slots__ = ("since",)

    def __init__(self, most: int, since: float) -> None:
        super().__init__(most, timed=True)
        self.since = since


class _Failures:
    """The failures of one ladder by key, in a few generations; beyond the bound the oldest is forgotten as a whole.

    Whoever fails again moves to the newest. So those that were quiet for the longest time are forgotten first, and
    whoever wants to be has to fail under thousands of other keys first, and each failure costs a hash.
    """

    def __init__(self, ladder: Ladder, most: int) -> None:
        self._ladder = ladder
        self._each = max(1, most // _GENERATIONS)
        self._newest_first: deque[_Generation] = deque(maxlen=_GENERATIONS)

    def __len__(self) -> int:
        return sum(map(len, self._newest_first))

    def attempt(self, key: str, now: float) -> float:
        kept, place = self._place(key, now)
        at = min(kept.at[place], now)  # a clock that went back keeps nobody waiting for longer than the delay itself
        failures = kept.counts[place] if now - at < self._ladder.forget else 0
        wait = at + self._ladder.delay(failures) - now
        if wait > 0:
            kept.at[place] = at
            return wait
        kept.counts[place], kept.at[place] = failures + 1, now
        return 0.0

    def forgive(self, key: str) -> None:
        if (found := self._find(key)) is not None:
            kept, place = found
            kept.counts[place] = 0

    def undo(self, key: str) -> None:
        if (found := self._find(key)) is not None:
            kept, place = found
            kept.counts[place] = max(0, kept.counts[place] - 1)

    def _find(self, key: str) -> tuple[_Generation, int] | None:
        """The newest generation that knows a key, and its place in there."""
        for generation in self._newest_first:
            if (place := generation.find(key)) is not None:
                return generation, place
        return None

    def _place(self, key: str, now: float) -> tuple[_Generation, int]:
        """A key's place in the newest generation, with what was known of it before."""
        newest = self._newest(now)
        found = self._find(key)
        if found is not None and found[0] is newest:
            return found
        if (place := newest.place(key)) is None:
            newest = self._begin(now)
            place = newest.place(key) or 0
        newest.at[place] = now
        if found is not None:
            before, former = found
            newest.counts[place], newest.at[place] = before.counts[former], before.at[former]
        return newest, place

    def _newest(self, now: float) -> _Generation:
        """What is older than one that began long enough ago is quiet for long enough."""
        if self._newest_first and now - self._newest_first[0].since < self._ladder.forget:
            return self._newest_first[0]
        while len(self._newest_first) > 1:
            self._newest_first.pop()
        return self._begin(now)

    def _begin(self, now: float) -> _Generation:
        self._newest_first.appendleft(_Generation(self._each, now))
        return self._newest_first[0]
