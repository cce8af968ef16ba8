"""What a seed decides: how many processes and orders there are, what goes wrong, when, and until when. Pure."""

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.simulation.world import CALM, Rates, Weather

from shopflow.contracts.events import EventType

_STEPS: Final = 110
"""Steps within which a process dies: those of a life in which something happens."""

Placed = tuple[float, tuple[tuple[EventType, float], ...]]


@dataclass
class Plan:
    """A schedule before it is played. `placed` says when orders come, and when which events of theirs;
    `unknown` how many users have no telephone; a fifth of that are no longer known at all;
    `replay` is what to tell the command line to see it again."""

    seed: int
    dice: Random
    weather: Weather
    relays: tuple[str, ...]
    consumers: tuple[str, ...]
    placed: tuple[Placed, ...]
    replay: str
    unknown: float = 0.0


def plan_of(seed: int) -> Plan:
    """The plan of a seed: chance in everything."""
    dice = Random(seed)  # noqa: S311 - a schedule, no secret
    relays = ("orders-1", "orders-2")[: 1 + (dice.random() < 0.4)]
    consumers = ("notifications-1", "notifications-2")[: 1 + (dice.random() < 0.5)]
    placed = tuple(_order(dice) for _ in range(1 + (dice.random() < 0.3)))
    return Plan(
        seed, dice, _weather(dice, (*relays, *consumers)), relays, consumers, placed, f"--replay {seed}", unknown=0.2
    )


def clean_plan(seed: int, *, dies: str = "", at: int = 0) -> Plan:
    """One relay, one consumer, one order, no fault but at most one death."""
    dice = Random(seed)  # noqa: S311 - a schedule, no secret
    weather = Weather(deaths={dies: [at]} if dies else {})
    placed = ((0.05, ((EventType.ORDER_CREATED, 0.0), (EventType.ORDER_SHIPPED, 0.0))),)
    replay = f"--replay {seed} --dies {dies or 'nobody'} --at {at}"
    return Plan(seed, dice, weather, ("orders-1",), ("notifications-1",), placed, replay)


def _order(dice: Random) -> Placed:
    shipped = ((EventType.ORDER_SHIPPED, dice.choice((0.0, 0.01, dice.uniform(0, 2)))),) if dice.random() < 0.4 else ()
    return dice.uniform(0, 0.3), ((EventType.ORDER_CREATED, 0.0), *shipped)


def _weather(dice: Random, names: tuple[str, ...]) -> Weather:
    deaths: dict[str, list[int]] = {}
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        deaths.setdefault(dice.choice(names), []).append(dice.randint(1, _STEPS))
    return Weather(
        calm_at=dice.uniform(0.5, 6.0),
        database=_rates(dice),
        provider=_rates(dice),
        neighbours=_rates(dice),
        broker=_rates(dice),
        refusals=dice.choice((0.0, 0.0, 0.1, 0.5)),
        deaths=deaths,
        freezes={dice.choice(names): dice.randint(1, _STEPS)} if dice.random() < 0.15 else {},
        cuts=[dice.expovariate(1 / 0.5) for _ in range(dice.choice((0, 0, 1, 2)))],
        broker_stops=[dice.expovariate(1 / 0.5)] if dice.random() < 0.08 else [],
        unbound=[dice.uniform(0, 0.4)] if dice.random() < 0.05 else [],
    )


def _rates(dice: Random) -> Rates:
    if dice.random() < 0.5:
        return CALM
    often = dice.choice((0.02, 0.1, 0.3))
    return Rates(lost=often / 2, unanswered=often, slow=often / 2, late=often / 4)
