"""Tries to call more often than allowed, by tricks that make one caller look like many; and to lock others out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.scene import Scene
from tests.attack.wire import Answer, Headers

_PER_MINUTE: Final = 100
_ORDERS_PER_MINUTE: Final = 1000
_AT_ONCE: Final = 20
_CLAIMS: Final = ("X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Cluster-Client-IP")
_DISGUISES: Final[dict[str, Callable[[int], Headers]]] = {
    "X-Forwarded-For": lambda number: [("X-Forwarded-For", f"203.0.{number % 250}.{number // 250 + 1}")],
    "IPv6": lambda number: [("X-Forwarded-For", f"2001:db8:{number:x}::1")],
    "Forwarded": lambda number: [("Forwarded", f"for=203.0.113.{number % 250};by=127.0.0.1")],
    "other headers": lambda number: [(name, f"198.51.100.{number % 250}") for name in _CLAIMS],
}


async def spoofed(scene: Scene) -> None:
    """Sign-ins from one address that claims to be another one each time: the 101st of a minute is refused."""
    for what, forged in _DISGUISES.items():
        await _disguised(scene, what, forged)


async def _disguised(scene: Scene, what: str, forged: Callable[[int], Headers]) -> None:
    source = scene.address()
    answers = await _many(lambda number: _login(scene, source, forged(number)), _PER_MINUTE + 15)
    _stopped(scene, f"sign-ins with {what}", answers, by=_PER_MINUTE + 10)


async def spread(scene: Scene) -> None:
    """The calls of one address spread over register, login, refresh and logout, and over spellings of their paths."""
    source = scene.address()
    doors = ("/auth/register", "/auth/login", "/auth/refresh", "/auth/login?a=1", "/auth/refresh?x", "/auth/logout")

    async def call(number: int) -> Answer:
        return await scene.ask("auth", "POST", doors[number % len(doors)], body={}, source=source)

    answers = [each for each in await _many(call, _PER_MINUTE + 25) if each.status != 404]
    _stopped(scene, "register, login, refresh and logout together", answers, by=_PER_MINUTE + 20)


async def junk(scene: Scene) -> None:
    """A flood of tokens that do not hold: it must end before it wears out auth-service."""
    source = scene.address()

    async def call(number: int) -> Answer:
        return await scene.ask("orders", "GET", "/orders", token=f"x.{number}.z", source=source)

    answers = await _many(call, _ORDERS_PER_MINUTE + 60)
    _stopped(scene, "refused tokens", answers, by=_ORDERS_PER_MINUTE + 50)


async def greedy(scene: Scene) -> None:
    """One customer, many addresses, more than a thousand calls a minute: counted by who calls, not from where."""
    caller = await people.customer(scene, "greedy")
    sources = [scene.address() for _ in range(8)]

    async def call(number: int) -> Answer:
        path = "/orders" if number % 2 else f"/orders?page={number}"
        return await scene.ask("orders", "GET", path, token=caller.access, source=sources[number % len(sources)])

    answers = await _many(call, _ORDERS_PER_MINUTE + 60)
    _stopped(scene, "calls of one customer", answers, by=_ORDERS_PER_MINUTE + 50)


async def lockout(scene: Scene) -> None:
    """Guessing one customer's password from many addresses: it gets slow for the guesser, and not for the owner."""
    owner = await people.customer(scene, "hammered")

    async def guess(number: int) -> Answer:
        return await people.login(scene, owner.email, f"Guess-{number}-Pw!", source=scene.address())

    answers = await _many(guess, scene.times(60, least=24), at_once=4)
    slowed = [each for each in answers if each.status == 429]
    title = "a password can be guessed from many addresses without growing slower"
    scene.unless(bool(slowed), title, f"{len(answers)} guesses, none refused", Severity.HIGH)
    for each in slowed[:1]:
        scene.unless(each.header("Retry-After") is not None, "a 429 without Retry-After", each.text, Severity.LOW)
    inside = await people.login(scene, owner.email, owner.password, source=owner.address)
    scene.unless(inside.status == 200, "an attacker locks an owner out", f"{inside.word} {inside.text}", Severity.HIGH)


async def flood(scene: Scene) -> None:
    """More sign-ins at once than there are cores for: the excess is turned away, and validation goes on."""
    caller = await people.anybody(scene)
    count = scene.times(120, least=40)

    async def attempt(number: int) -> Answer:
        email, source = f"{number}.{scene.mark}@shop.example", scene.address()
        return await people.login(scene, email, "Wrong-Pw-1!", source=source, patient=False)

    flooding = asyncio.create_task(_many(attempt, count, at_once=count))
    await asyncio.sleep(0.3)
    seconds: list[float] = []
    while not flooding.done() and len(seconds) < 200:
        answer = await people.accepted(scene, caller.access)
        scene.unless(answer.status == 200, "a flood of sign-ins stops validation", answer.word, Severity.HIGH)
        seconds.append(answer.seconds)
        await asyncio.sleep(0.02)
    answers = await flooding
    slow = sorted(seconds)[len(seconds) * 9 // 10] if seconds else 0.0
    scene.notes.saw(f"validation in {slow * 1000:.0f} ms (nine in ten) during {count} sign-ins")
    scene.unless(slow < 2, "a flood of sign-ins slows validation down", f"{slow:.2f} s", Severity.MEDIUM)
    shed = [each for each in answers if each.status == 503]
    patient = all(each.header("Retry-After") for each in shed)
    scene.unless(patient, "a 503 without Retry-After", "during a flood of sign-ins", Severity.LOW)


async def _login(scene: Scene, source: str, headers: Headers) -> Answer:
    """A sign-in that costs nobody a hash: it is counted before it is read."""
    return await scene.ask("auth", "POST", "/auth/login", body={}, headers=headers, source=source)


async def _many(call: Callable[[int], Awaitable[Answer]], count: int, *, at_once: int = _AT_ONCE) -> list[Answer]:
    """Calls so often, a few at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> Answer:
        async with gate:
            return await call(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def _stopped(scene: Scene, what: str, answers: list[Answer], *, by: int) -> None:
    """Whether the limit came into force, said so, and counted nobody else's calls."""
    through = [each for each in answers if each.status not in {429, 0}]
    refused = [each for each in answers if each.status == 429]
    said = f"{what}: {len(through)} of {len(answers)} went through"
    scene.unless(bool(refused) and len(through) <= by, "a rate limit can be evaded", said, Severity.HIGH)
    for each in refused[:1]:
        told = each.header("Retry-After") is not None and each.header("RateLimit") is not None
        scene.unless(told, "a refusal does not say when to come back", f"{each.headers}", Severity.LOW)
