"""Many at once: one order from one key, one winner of a transition, one account of an address, nobody else's answer."""

import asyncio
from functools import partial
from typing import Final
from uuid import uuid4

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.people import ORDER
from tests.attack.scene import Person, Scene
from tests.attack.wire import Answer

_KEYS: Final = ("", "x" * 256, "ä" * 10, "a\tb", "a b\x7f", "\x00")


async def keys(scene: Scene) -> None:
    """`Idempotency-Key`: used at once, by a stranger, with another body, and in forms that are none."""
    owner = await people.customer(scene, "keys")
    thief = await people.customer(scene, "keythief")
    key = uuid4().hex
    answers = await scene.together(*[lambda: _order(scene, owner, key)] * 12)
    made = {each.json["id"] for each in answers if each.status == 201}
    scene.unless(len(made) == 1, "one key makes several orders", f"{len(made)} orders", Severity.HIGH)
    stolen = await _order(scene, thief, key)
    theirs = stolen.status == 201 and stolen.json["id"] in made
    scene.unless(not theirs, "a stranger's key answers with somebody's order", stolen.text, Severity.CRITICAL)
    other = await _order(scene, owner, key, notes="something else")
    scene.unless(other.status == 422, "a key is good for another order", other.text, Severity.MEDIUM)
    for odd in _KEYS:
        answer = await _order(scene, owner, odd)
        fits = answer.status in {0, 400}
        scene.unless(fits, "an odd key is taken", f"{odd[:20]!r}: {answer.word} {answer.text[:100]}", Severity.LOW)
    listed = await scene.ask("orders", "GET", "/orders?limit=100", token=owner.access, source=owner.address)
    count = (listed.json or {}).get("pagination", {}).get("total_items")
    scene.unless(count == 1, "orders come out of refused calls", f"{count} orders", Severity.HIGH)


async def transitions(scene: Scene) -> None:
    """The same step by many admins at once, steps that skip others, and a step upon a state that is not the present."""
    admin = await people.admin(scene)
    buyer = await people.customer(scene, "racing")
    order = await people.ordered(scene, buyer)
    for wrong in ("shipped", "delivered", "cancelled", "", None, 1, ["confirmed"]):
        answer = await _advance(scene, admin, order, wrong)
        scene.unless(answer.status == 400, "an order skips a step", f"{wrong!r}: {answer.text}", Severity.HIGH)
    answers = await scene.together(*[lambda: _advance(scene, admin, order, "confirmed")] * 15)
    won = sum(each.status == 200 for each in answers)
    scene.unless(won == 1, "one step is taken several times", f"{won} of 15", Severity.HIGH)
    stale = [("If-Match", '"pending"'), ("If-Match", '"0"')]
    for header in stale:
        answer = await _advance(scene, admin, order, "shipped", header)
        scene.unless(answer.status in {400, 412}, "a stale version passes", answer.text, Severity.MEDIUM)
    history = f"/orders/{order}/history"
    told = await scene.ask("orders", "GET", history, token=buyer.access, source=buyer.address)
    hidden = [word for word in ("actor_id", "trace_id", "reason") if word in told.text]
    scene.unless(not hidden, "a customer sees what only admins may", f"{hidden}: {told.text}", Severity.MEDIUM)


async def accounts(scene: Scene) -> None:
    """One address registered many times at once, in every spelling."""
    body = people.details(scene, "twin")
    spellings = [body["email"], body["email"].upper(), body["email"].title(), body["email"].replace("shop", "SHOP")]

    async def register(email: str) -> Answer:
        return await scene.ask("auth", "POST", "/auth/register", body={**body, "email": email}, source=scene.address())

    answers = await asyncio.gather(*(register(each) for each in spellings * 2))
    made = sum(each.status == 201 for each in answers)
    statuses = sorted(each.status for each in answers)
    scene.unless(made == 1, "one address has several accounts", f"{statuses}", Severity.HIGH)


async def endings(scene: Scene) -> None:
    """Sessions that begin and go on in the very moment in which all of them are ended: none may slip through."""
    for what, end in (("a logout of all", _logout_of_all), ("a new password", _new_password), ("a closing", _closing)):
        owner = await people.customer(scene, "ending")
        spare = Person(owner.email, owner.password, address=owner.address)
        await people.signed_in(scene, spare)
        refresh = partial(people.refreshed, scene, owner.refresh, source=owner.address)
        login = partial(people.login, scene, owner.email, owner.password, source=owner.address)
        works = [refresh, refresh, refresh, partial(end, scene, owner, spare), refresh, login, login, login]
        answers = await scene.together(*works)
        ended = answers[3].status == 204
        scene.unless(ended, "sessions cannot be ended", f"{what}: {answers[3].text}", Severity.MEDIUM)
        fresh = what == "a logout of all"  # after it a sign-in may begin anew; the others end the password too
        for answer in answers[:3] + ([] if fresh else answers[4:]):
            if answer.status == 200 and isinstance(answer.json, dict):
                again = await people.refreshed(scene, answer.json["refresh_token"], source=owner.address)
                said = f"{what}: {again.word} {again.text[:100]}"
                scene.unless(again.status == 401, "a session slips through its end", said, Severity.HIGH)
                alive = await people.accepted(scene, answer.json["access_token"])
                scene.unless(alive.status == 401, "an access token slips through its end", said, Severity.HIGH)


async def _logout_of_all(scene: Scene, _: Person, spare: Person) -> Answer:
    body = {"refresh_token": spare.refresh, "all": True}
    return await scene.ask("auth", "POST", "/auth/logout", body=body, source=scene.address())


async def _new_password(scene: Scene, owner: Person, _: Person) -> Answer:
    wanted = f"{owner.password}-3"
    scene.secrets[f"newest password of {owner.email}"] = wanted
    body = {"current_password": owner.password, "new_password": wanted}
    return await scene.ask("auth", "POST", "/auth/password", token=owner.access, body=body, source=owner.address)


async def _closing(scene: Scene, owner: Person, _: Person) -> Answer:
    path = f"/auth/users/{owner.id}"
    return await scene.ask("auth", "DELETE", path, token=owner.access, source=owner.address)


async def _order(scene: Scene, person: Person, key: str, **changes: object) -> Answer:
    body = {**ORDER, **changes}
    sent = [("Idempotency-Key", key)]
    source = person.address
    return await scene.ask("orders", "POST", "/orders", token=person.access, body=body, headers=sent, source=source)


async def _advance(
    scene: Scene, admin: Person, order: str, status: object, header: tuple[str, str] | None = None
) -> Answer:
    path, sent = f"/orders/{order}/status", [header] if header else []
    body = {"status": status}
    return await scene.ask("orders", "PATCH", path, token=admin.access, body=body, headers=sent, source=admin.address)
