"""Customers who order all the time, so that a fault always meets something; and probes that tell when it is over."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from time import monotonic
from typing import Final, Self

from tests.chaos.acts import Scene
from tests.chaos.evidence import settled
from tests.chaos.history import Outcome, Recovery
from tests.chaos.people import Person
from tests.chaos.standing import kept_standing

_A_PROBE: Final = 5.0
"""Seconds until another fresh order is tried; all of them count towards the recovery, whose own bound judges."""


@dataclass
class Load:
    """So many customers, each with a pause between its orders; every third order is shipped."""

    scene: Scene
    customers: int = 4
    pause: float = 0.4
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _stopping: bool = False

    async def __aenter__(self) -> Self:
        people = [await self.scene.people.customer() for _ in range(self.customers)]
        self._tasks = [asyncio.create_task(self._orders(person)) for person in people]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _orders(self, person: Person) -> None:
        number = 0
        while not self._stopping:
            number += 1
            order_id = await self.scene.people.place(person)
            if order_id and number % 3 == 0:
                await self._ship(order_id)
            await asyncio.sleep(self.scene.shop.dice.uniform(0.5, 1.5) * self.pause)

    async def _ship(self, order_id: str) -> None:
        for status in ("confirmed", "shipped"):
            operation = await self.scene.people.advance(self.scene.admin, order_id, status)
            if operation.outcome is not Outcome.DONE:
                return


async def recovered(scene: Scene, customer: Person, fault: str, *, limit: float) -> Recovery:
    """Wait until a fresh order is placed and its customer told, again and again until one goes through quickly.

    Given up after four times the limit, which the checker sees. How everything stood when the limit was over is kept.
    """
    began = monotonic()
    probes: list[str] = []
    witness = asyncio.create_task(_witnessed(scene, fault, probes, after=limit))
    with suppress(TimeoutError):
        async with asyncio.timeout(4 * limit):
            while not await _goes_through(scene, customer, probes):
                pass
    recovery = Recovery(fault, monotonic() - began, limit)
    scene.history.recoveries.append(recovery)
    if recovery.seconds < limit:
        witness.cancel()
    await asyncio.wait([witness])
    return recovery


async def _goes_through(scene: Scene, customer: Person, probes: list[str]) -> bool:
    order_id = await scene.people.place(customer)
    probes.append(order_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(_A_PROBE):
            while not await settled(scene.shop, [order_id]):
                await asyncio.sleep(0.1)
            return True
    return False


async def _witnessed(scene: Scene, fault: str, probes: list[str], *, after: float) -> None:
    await asyncio.sleep(after)
    await kept_standing(scene.shop, f"{after:.0f} s after {re.sub(r'[^A-Za-z0-9 -]', '', fault)}", probes)


def half_answered_within(scene: Scene, begin: float, end: float) -> float:
    """The median of the seconds that placements asked for in this time took to be answered, well or not."""
    taken = [took for each in scene.history.of("place") for began, took in each.asked if begin <= began <= end]
    return median(taken) if taken else 0.0
