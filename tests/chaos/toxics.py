"""What a link can suffer while it carries on: delay, thinness, slices, silence, an end after some bytes. Pure data.

What ends or refuses whole connections is the proxy's business.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Direction(Enum):
    """Which way bytes go: UP from whoever connected to the server behind the proxy, DOWN back."""

    UP = "\N{RIGHTWARDS ARROW}"
    DOWN = "\N{LEFTWARDS ARROW}"


BOTH = (Direction.UP, Direction.DOWN)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Every piece waits `seconds`, more or less by up to `jitter`."""

    seconds: float
    jitter: float = 0.0
    directions: tuple[Direction, ...] = BOTH


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """At most so many bytes a second."""

    bytes_per_second: int
    directions: tuple[Direction, ...] = BOTH


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Pieces of `size` bytes with a pause of `seconds` after each."""

    size: int
    seconds: float
    directions: tuple[Direction, ...] = BOTH


@dataclass(frozen=True, kw_only=True)
class Silence:
    """What is sent vanishes, and nobody is told: a half-open link, in one direction or both."""

    directions: tuple[Direction, ...] = BOTH


@dataclass(frozen=True, kw_only=True)
class CutAfter:
    """A connection is reset once it has carried so many bytes in one direction; every new one too."""

    bytes: int
    directions: tuple[Direction, ...] = BOTH


Toxic: TypeAlias = Latency | Bandwidth | Slices | Silence | CutAfter
