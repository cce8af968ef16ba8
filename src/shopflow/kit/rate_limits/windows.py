"""What a sliding window is: its rate, how full it is, when there is room again. Pure: counts nothing, asks no clock.

The calls of the last full window count in proportion to how much of it is still covered, so that no burst passes
across a boundary. Every store of counts judges by the functions in here.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Policy:
    """A rate with a name: at most `amount` calls of one key in any window of `seconds`."""

    name: str
    amount: int
    unit: str

    @property
    def seconds(self) -> int:
        """The window's length."""
        return _SECONDS[self.unit]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a limit is used up, as the caller is told (B8).

    Attributes:
        name: the policy's.
        limit: calls in one window.
        window: its length in seconds.
        remaining: calls that would pass right now.
        reset: seconds until there is more room: until this window ends, or, with nothing left, until a call passes.
        refused: whether the call found no room; then it was not counted.
    """

    name: str
    limit: int
    window: int
    remaining: int
    reset: int
    refused: bool = False

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit`, as the draft of the IETF's httpapi group spells them."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={self.window}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset}',
        }


def policy(rate: str, *, name: str) -> Policy:
    """The policy that a rate such as `100/minute` stands for."""
    amount, _, unit = rate.partition("/")
    return Policy(name, int(amount), unit)


def is_full(amount: int, *, now: int, before: int, passed: float) -> bool:
    """Whether another call finds no room.

    Args:
        amount: calls that a window takes.
        now: calls counted in the window that runs.
        before: calls counted in the one before it.
        passed: how much of the running one is over, from 0 to 1.
    """
    return now + before * (1 - passed) >= amount


def usage(rate: Policy, *, now: int, before: int, passed: float, refused: bool) -> Usage:
    """What these counts mean to the caller; the arguments are those of `is_full`."""
    remaining = max(0, ceil(rate.amount - now - before * (1 - passed)))
    windows = (1 - passed) if remaining else _windows_until_room(rate.amount, now=now, before=before, passed=passed)
    reset = max(1, ceil(windows * rate.seconds + 0.001))
    return Usage(rate.name, rate.amount, rate.seconds, remaining, reset, refused)


def refusal(rate: Policy, *, wait: float) -> Usage:
    """What somebody is told who is known to find no room for so many seconds."""
    return Usage(rate.name, rate.amount, rate.seconds, 0, max(1, ceil(wait)), refused=True)


def _windows_until_room(amount: int, *, now: int, before: int, passed: float) -> float:
    """There is room once enough of the last window has faded; a window that is full has to end first."""
    faded, begin = ((amount - now) / before, 0) if now < amount else (amount / now, 1)
    return begin + 1 - faded - passed
