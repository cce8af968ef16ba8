"""How many requests are worked on at once: beyond that they are refused at once instead of queueing without end.

A request counts while the service has it; while it waits for its client (a slow body, an answer that is not taken) it
costs no work, and does not stand in anybody's way. What services ask of one another has places of its own.
"""

from dataclasses import dataclass
from typing import Final

from shopflow.kit.problems import Problem, unavailable

IN_FLIGHT: Final = 512
"""Requests that one process works on at once: what it answers within half a second to a second on two cores."""

HELD: Final = 32 * 1024 * 1024
"""Bytes of bodies and of large answers that are in memory at once, as many connections as there may be."""

_SMALL: Final = 16 * 1024
_HURRY: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much one application takes on, and how long it waits for its clients. Tests make them small.

    Attributes:
        in_flight: requests worked on at once.
        between_services: as many again of those that services and operators ask.
        body_within: seconds that a body may take to arrive in whole, from the moment that it is asked for.
        answer_within: seconds that a client may take to receive a large answer.
        held: bytes of bodies and of large answers that are in memory at once.
    """

    in_flight: int = IN_FLIGHT
    between_services: int = IN_FLIGHT
    body_within: float = 10.0
    answer_within: float = 30.0
    held: int = HELD


class Lane:
    """Requests that share so many places, and so much memory for what they wait for."""

    def __init__(self, bounds: Bounds, *, places: int) -> None:
        self._bounds = bounds
        self._places = places
        self.in_flight = 0
        self.waiting = 0
        self.held = 0

    @property
    def is_over(self) -> bool:
        """Whether the last one that came is one too many."""
        return self.in_flight - self.waiting > self._places

    def has_no_room(self, own: int) -> bool:
        """Whether a request that holds so many bytes of its body must not hold them; a few it always may."""
        return own > _SMALL and self.held > self._bounds.held

    @property
    def answer_within(self) -> float:
        """Seconds that a client has to take a large answer: while too many do not take theirs, next to none."""
        within = self._bounds.answer_within
        return within if self.held <= self._bounds.held else min(_HURRY, within)


def overloaded() -> Problem:
    """What a request hears that there is no place for."""
    return unavailable("overloaded", "Too many requests at once; try again in a second.", retry_after=1)
