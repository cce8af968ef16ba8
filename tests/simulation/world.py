"""What lies between the processes of a schedule: time, chance, and requests that get lost or come late.

Every wire goes through `World.ask`. What a server does happens in the world, not in the process that asked: it may
happen although the process is dead by then, and the process may never hear of it.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar
from uuid import UUID

from tests.simulation.loop import OWNER, Process, VirtualLoop

T = TypeVar("T")

_MILLISECONDS: Final = 0.004
_SLOW: Final = (0.2, 3.0)
_LATE: Final = (5.0, 9.0)
"""Seconds that a late request is under way: every deadline is over by then, and the server acts all the same."""


@dataclass(frozen=True)
class Rates:
    """How often, from 0 to 1, a request is lost, its answer is, it is slow, or it comes when nobody waits any more."""

    lost: float = 0.0
    unanswered: float = 0.0
    slow: float = 0.0
    late: float = 0.0


CALM: Final = Rates()


@dataclass(frozen=True)
class _Asked:
    """A request that is under way, and whose."""

    answer: "asyncio.Future[Any]"
    owner: Process | None
    effect: Callable[[], object]
    lost: Callable[[], BaseException]
    rates: Rates
    what: str


@dataclass
class Weather:
    """What a schedule holds in store. All of it is over at `calm_at`."""

    calm_at: float = 0.0
    database: Rates = CALM
    provider: Rates = CALM
    neighbours: Rates = CALM
    broker: Rates = CALM
    refusals: float = 0.0
    deaths: dict[str, list[int]] = field(default_factory=dict)
    freezes: dict[str, int] = field(default_factory=dict)
    cuts: list[float] = field(default_factory=list)
    broker_stops: list[float] = field(default_factory=list)
    unbound: list[float] = field(default_factory=list)


class World:
    """One schedule's world.

    Args:
        dice: decide everything.
        weather: what goes wrong.
    """

    def __init__(self, dice: Random, weather: Weather) -> None:
        self.dice = dice
        self.weather = weather
        self.loop = VirtualLoop(dice, on_death=self._dies, on_freeze=self._freezes)
        self.trace: list[str] = []
        self.errors: list[str] = []
        self.on_death: Callable[[Process], None] = lambda _: None
        self.on_freeze: Callable[[Process], None] = lambda _: None
        self.under_way = 0
        self.is_over = False

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.loop.time() >= self.weather.calm_at

    def note(self, what: str) -> None:
        """Puts a line into the trace."""
        owner = OWNER.get()
        self.trace.append(f"{self.loop.time():9.4f} {owner.name if owner else 'world'}: {what}")

    def later(self, seconds: float, act: Callable[..., object], *arguments: object) -> None:
        """Does something in the world, whoever asked for it."""
        self.loop.call_later(seconds, act, *arguments, context=_WORLD)

    def uuid(self) -> UUID:
        """An id that the seed decides."""
        return UUID(int=self.dice.getrandbits(128), version=4)

    def happens(self, rate: float) -> bool:
        """Whether something that goes wrong so often goes wrong now."""
        return rate > 0 and not self.is_calm and self.dice.random() < rate

    def latency(self, rates: Rates = CALM) -> float:
        """Seconds that something is under way in one direction."""
        if self.happens(rates.slow):
            return self.dice.uniform(*_SLOW)
        return self.dice.expovariate(1 / _MILLISECONDS)

    async def ask(self, effect: Callable[[], T], *, lost: Callable[[], BaseException], rates: Rates, what: str) -> T:
        """Lets a server do something, and answers what it answers.

        Args:
            effect: what the server does; it raises what the server refuses with.
            lost: what the client sees when the connection is lost; the effect may have happened.
            rates: how often it is.
            what: for the trace.
        """
        if self.is_over:
            raise asyncio.CancelledError
        asked = _Asked(self.loop.create_future(), OWNER.get(), effect, lost, rates, what)
        out = self.dice.uniform(*_LATE) if self.happens(rates.late) else self.latency(rates)
        arrives, is_answered = not self.happens(rates.lost), not self.happens(rates.unanswered)
        self.under_way += 1
        self.later(out, self._arrive, asked, arrives, is_answered)
        return await asked.answer  # type: ignore[no-any-return] # a future of whatever comes

    def _arrive(self, asked: "_Asked", arrives: bool, is_answered: bool) -> None:
        self.under_way -= 1
        gone = asked.owner is not None and not asked.owner.is_alive
        if gone and self.dice.random() < 0.5:
            return  # it never left the dead process
        result, error = self._acted(asked) if arrives else (None, asked.lost())
        fate = "" if is_answered and arrives else ", the answer is lost" if arrives else " is lost"
        self.note(f"{asked.what}{fate}{', for a dead one' if gone else ''}")
        if not is_answered:
            result, error = None, asked.lost()
        if not gone:
            self.later(self.latency(asked.rates), _settle, asked.answer, result, error)

    def _acted(self, asked: "_Asked") -> tuple[object, BaseException | None]:
        try:
            return asked.effect(), None
        except Exception as refusal:  # noqa: BLE001 - it is carried to whoever asked
            return None, refusal

    def _dies(self, process: Process) -> None:
        self.note(f"{process.name} dies at step {process.steps}")
        self.loop.kill(process)
        self.on_death(process)

    def _freezes(self, process: Process) -> None:
        seconds = self.dice.uniform(20, 50)
        self.note(f"{process.name} stands still for {seconds:.1f} s at step {process.steps}")
        process.is_frozen = True
        self.on_freeze(process)
        self.later(seconds, _thaw, process)


def _settle(answer: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if answer.done():
        return  # whoever asked no longer waits
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _thaw(process: Process) -> None:
    process.is_frozen = False


_WORLD: Final = Context()
