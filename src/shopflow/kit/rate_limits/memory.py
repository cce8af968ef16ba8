"""Counts in this process's memory, of which it never takes more than a fixed amount.

A call costs the same however many keys there are. What is not called any more is forgotten after two windows. Keys
beyond the bound share a fixed number of slots: then strangers are counted together, but nobody is not counted (A11).
"""

from collections.abc import Callable
from time import monotonic
from typing import Final

from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.windows import Policy, Usage, is_full, usage

MOST_KEYS: Final = 20_000
"""Keys of one window, and of failed attempts, that are remembered one by one."""

_SLOTS: Final = 4096


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

    __slots__ = ("_by_key", "_by_slot", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_key: dict[str, int] = {}
        self._by_slot: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._by_key) + len(self._by_slot)

    def of(self, key: str) -> int:
        known = self._by_key.get(key)
        return self._by_slot.get(hash(key) % _SLOTS, 0) if known is None else known

    def add(self, key: str) -> None:
        known = self._by_key.get(key)
        if known is not None or len(self._by_key) < self._most:
            self._by_key[key] = (known or 0) + 1
        else:
            slot = hash(key) % _SLOTS
            self._by_slot[slot] = self._by_slot.get(slot, 0) + 1


class _Failures:
    """The failures of one ladder by key, the longest quiet one first; beyond the bound, that one is forgotten.

    Whoever wants to be forgotten has to fail under thousands of other keys first, and each failure costs a hash.
    """

    def __init__(self, ladder: Ladder, most: int) -> None:
        self._ladder = ladder
        self._most = most
        self._by_key: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def attempt(self, key: str, now: float) -> float:
        self._forget_quiet(now)
        failures, at = self._by_key.get(key, (0, now))
        at = min(at, now)  # a clock that went back keeps nobody waiting for longer than the delay itself
        wait = at + self._ladder.delay(failures) - now
        if wait > 0:
            self._by_key[key] = (failures, at)
            return wait
        self._by_key.pop(key, None)  # to the end: it is the one that was quiet for the shortest time
        self._by_key[key] = (failures + 1, now)
        return 0.0

    def forgive(self, key: str) -> None:
        self._by_key.pop(key, None)

    def undo(self, key: str) -> None:
        failures, at = self._by_key.get(key, (0, 0.0))
        if failures > 1:
            self._by_key[key] = (failures - 1, at)
        else:
            self.forgive(key)

    def _forget_quiet(self, now: float) -> None:
        while self._by_key:
            key, (_, at) = next(iter(self._by_key.items()))
            if len(self._by_key) < self._most and now - at < self._ladder.forget:
                return
            del self._by_key[key]
