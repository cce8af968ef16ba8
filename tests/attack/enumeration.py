"""Tries to learn who has an account: by what sign-in, refresh and profiles say, and by how long they take to say it."""

from random import SystemRandom
from statistics import median
from typing import Final
from uuid import uuid4

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.scene import Person, Scene
from tests.attack.wire import Answer

_APART: Final = 0.8
"""Times that differ by more than this part of the faster one tell two cases apart, through other callers' noise."""

_FREE: Final = 4
"""Failures of one account that are answered without a delay, with one to spare."""

_OWN: Final = frozenset({"trace_id"})


async def by_text(scene: Scene) -> None:
    """Unknown, wrong, over-long, deactivated: sign-in must answer each of them with the very same words."""
    known = await people.customer(scene, "listed")
    gone = await _deactivated(scene)
    answers = {
        "an unknown address": await _try(scene, f"{uuid4().hex}@shop.example", "Wrong-Pw-1!"),
        "a wrong password": await _try(scene, known.email, "Wrong-Pw-1!"),
        "a deactivated account": await _try(scene, gone.email, "Wrong-Pw-1!"),
        "73 bytes": await _try(scene, known.email, known.password + "x" * 73),
        "an address that is none": await _try(scene, "nobody", "Wrong-Pw-1!"),
    }
    shapes = {what: _shape(answer) for what, answer in answers.items()}
    different = {what: shape for what, shape in shapes.items() if shape != shapes["an unknown address"]}
    scene.unless(not different, "sign-in tells who has an account", f"{different} of {shapes}", Severity.HIGH)
    for empty in ("", None):
        pair = [await _try(scene, email, empty) for email in (known.email, f"{uuid4().hex}@shop.example")]
        alike = _shape(pair[0]) == _shape(pair[1])
        scene.unless(alike, "an empty password tells who has an account", pair[0].text, Severity.HIGH)


async def by_time(scene: Scene) -> None:
    """The same cases by the clock, in no order, each from an address of its own: their times must not part."""
    rounds = scene.times(12, least=5)
    known = [await people.customer(scene, "timed") for _ in range(1 + rounds * 2 // _FREE)]
    gone = [await _deactivated(scene) for _ in range(1 + rounds // _FREE)]
    cases = [
        ("unknown", [(f"{uuid4().hex}@shop.example", "Wrong-Pw-1!") for _ in range(rounds)]),
        ("wrong", [(known[n % len(known)].email, "Wrong-Pw-1!") for n in range(rounds)]),
        ("deactivated", [(gone[n % len(gone)].email, "Wrong-Pw-1!") for n in range(rounds)]),
        ("73 bytes", [(known[n % len(known)].email, "x" * 73) for n in range(rounds)]),
    ]
    tries = [(case, *each) for case, inside in cases for each in inside]
    SystemRandom().shuffle(tries)
    seconds: dict[str, list[float]] = {case: [] for case, _ in cases}
    for case, email, password in tries:
        answer = await _try(scene, email, password)
        if answer.status == 401:
            seconds[case].append(answer.seconds)
    tell_apart(scene, seconds)


def tell_apart(scene: Scene, seconds: dict[str, list[float]]) -> None:
    """Finds fault with cases that the clock tells apart: by the minima, which noise spares, and by the medians."""
    enough = {case: taken for case, taken in seconds.items() if len(taken) >= 3}
    quickest = {case: min(taken) for case, taken in enough.items()}
    middle = {case: median(taken) for case, taken in enough.items()}
    scene.notes.saw("quickest " + ", ".join(f"{case} {taken * 1000:.0f} ms" for case, taken in quickest.items()))
    title = "the time that sign-in takes tells who has an account"
    apart = len(enough) > 1 and _apart(quickest) and _apart(middle)
    scene.unless(not apart, title, f"quickest {quickest}, medians {middle}", Severity.HIGH)


def _apart(taken: dict[str, float]) -> bool:
    low, high = min(taken.values()), max(taken.values())
    return high > low * (1 + _APART) and high - low > 0.02


async def by_reading(scene: Scene) -> None:
    """Profiles and orders that are there and that are not: to a stranger both must look the same, or carry nothing."""
    owner = await people.customer(scene, "there")
    await people.ordered(scene, owner)
    stranger = await people.customer(scene, "asking")
    pair = [await _read(scene, stranger, f"/auth/users/{each}") for each in (owner.id, str(uuid4()))]
    alike = _shape(pair[0]) == _shape(pair[1])
    scene.unless(alike, "a profile's refusal tells whether it exists", f"{pair[0].text} {pair[1].text}", Severity.HIGH)
    junk = [await people.refreshed(scene, text, source=scene.address()) for text in ("x", "x.y.z", owner.access)]
    same = len({str(_shape(each)) for each in junk}) == 1
    scene.unless(same, "refresh tells why it refuses", " ".join(each.text for each in junk), Severity.MEDIUM)


async def _deactivated(scene: Scene) -> Person:
    gone = await people.customer(scene, "left")
    await scene.ask("auth", "DELETE", f"/auth/users/{gone.id}", token=gone.access, source=gone.address)
    return gone


async def _read(scene: Scene, reader: Person, path: str) -> Answer:
    return await scene.ask("auth", "GET", path, token=reader.access, source=reader.address)


async def _try(scene: Scene, email: str, password: str | None) -> Answer:
    body = {"email": email, "password": password}
    return await scene.ask("auth", "POST", "/auth/login", body=body, source=scene.address())


def _shape(answer: Answer) -> tuple[int, object, frozenset[str]]:
    """What an answer says, without what differs from call to call."""
    said = answer.json
    body = {key: value for key, value in said.items() if key not in _OWN} if isinstance(said, dict) else answer.text
    names = frozenset(name.lower() for name, _ in answer.headers)
    return answer.status, body, names
