"""The attacks, and one run through them: what disturbs others comes late and alone, what looks back last."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tests.attack import (
    bodies,
    browsers,
    callbacks,
    doors,
    enumeration,
    injection,
    leaks,
    limits,
    machine,
    races,
    roles,
    sessions,
    tokens,
    transport,
)
from tests.attack.findings import Finding, Notes, Severity
from tests.attack.scene import CannotGoOn, Person, Scene

Attack = Callable[[Scene], Awaitable[None]]

TOGETHER: Final[tuple[Attack, ...]] = (
    sessions.reuse,
    machine.broker,
    machine.listeners,
    machine.files,
    machine.processes,
    machine.databases,
    tokens.forged,
    tokens.stolen_secret,
    tokens.wrong_kind,
    tokens.headers,
    roles.everybody,
    roles.reaching_further,
    roles.mass_assignment,
    doors.methods,
    doors.spellings,
    doors.hosts,
    doors.cursors,
    doors.lookalikes,
    sessions.branches,
    sessions.logout,
    sessions.password_change,
    sessions.others,
    sessions.deactivated,
    enumeration.by_text,
    enumeration.by_reading,
    injection.names,
    injection.orders,
    injection.parameters,
    injection.busy,
    bodies.everywhere,
    bodies.types,
    bodies.amounts,
    bodies.kinds,
    races.keys,
    races.transitions,
    races.accounts,
    races.endings,
    browsers.origins,
    browsers.pages,
    browsers.caches,
    browsers.unasked,
    callbacks.forged,
    transport.desync,
    transport.shapes,
    transport.paths,
)
"""Attacks that disturb nobody: a few at a time, first what mostly waits."""

ALONE: Final[tuple[Attack, ...]] = (
    enumeration.by_time,
    transport.sizes,
    transport.hanging,
    limits.lockout,
    limits.spoofed,
    limits.spread,
    limits.junk,
    limits.greedy,
    limits.flood,
    machine.history,
    leaks.history,
    leaks.metrics,
    leaks.rows,
    leaks.logs,
)
"""Attacks that measure, or flood; and those that look back, last."""

ATTACKS: Final = (*TOGETHER, *ALONE)

_AT_ONCE: Final = 4
_LOOKS_BACK: Final = (machine.history, leaks.history, leaks.metrics, leaks.rows, leaks.logs)
_LAST_LOOK: Final = 30.0
"""Seconds that looking back has, even when the time is over."""

_LONGEST: Final = 150.0
"""Seconds that one attack may take at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one attack came to; `broken` says why it could not be carried through."""

    name: str
    what: str
    notes: Notes
    seconds: float
    broken: str = ""

    @property
    def findings(self) -> list[Finding]:
        """What it found."""
        return list(self.notes.found.values())


async def run(scene: Scene, attacks: tuple[Attack, ...] = ATTACKS, *, tell: Callable[[Told], None]) -> list[Told]:
    """Carries the attacks out, and tidies up.

    Args:
        scene: whom to attack, and for how long.
        attacks: which ones.
        tell: told of each when it is over.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def carried_out(attack: Attack) -> Told:
        async with gate:
            told = await _carried_out(scene.for_one_attack(), attack)
        tell(told)
        return told

    try:
        told = await asyncio.gather(*(carried_out(attack) for attack in attacks if attack not in ALONE))
        return [*told, *[await carried_out(attack) for attack in attacks if attack in ALONE]]
    finally:
        with suppress(CannotGoOn, OSError):
            await _tidied(scene.for_one_attack())


async def _carried_out(scene: Scene, attack: Attack) -> Told:
    started = monotonic()
    name = f"{attack.__module__.rpartition('.')[2]}.{attack.__name__}"
    what = (attack.__doc__ or "").strip().splitlines()[0]
    broken = ""
    try:
        left = max(scene.ends - started, _LAST_LOOK if attack in _LOOKS_BACK else 0.0)
        async with asyncio.timeout(min(_LONGEST, left)):
            await attack(scene)
    except TimeoutError:
        broken = "the time was over" if monotonic() >= scene.ends else f"not done after {_LONGEST:.0f} s"
    except (CannotGoOn, OSError) as error:
        broken = str(error)
        scene.notes.finds("an attack could not be carried out", broken, Severity.LOW)
    return Told(name, what, scene.notes, monotonic() - started, broken)


async def _tidied(scene: Scene) -> None:
    """Closes the accounts that the attack made; their orders stay, as orders do."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def close(person: Person) -> None:
        async with gate:
            path = f"/auth/users/{person.id}"
            await scene.ask("auth", "DELETE", path, token=person.access, source=person.address, within=5)

    await asyncio.gather(*(close(person) for person in scene.people if person.access))
