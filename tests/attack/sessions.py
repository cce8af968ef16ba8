"""Tries to keep a session that was ended, to use a refresh token twice, and to reach other people's sessions."""

import asyncio
from typing import Final

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.scene import Person, Scene
from tests.attack.wire import Answer

_GRACE: Final = 10.5
"""Seconds after which a retired refresh token whose successor was used is a stolen one."""


async def reuse(scene: Scene) -> None:
    """A thief shows a former refresh token after the tolerance for lost answers: the whole session must end."""
    owner = await people.customer(scene, "reuse")
    stolen = owner.refresh
    for _ in range(2):
        people.remember(scene, owner, (await people.refreshed(scene, owner.refresh, source=owner.address)).json)
    await asyncio.sleep(_GRACE)
    thief = await people.refreshed(scene, stolen, source=scene.address())
    scene.unless(thief.status == 401, "a refresh token can be used again", thief.text, Severity.CRITICAL)
    heir = await people.refreshed(scene, owner.refresh, source=owner.address)
    scene.unless(heir.status == 401, "a stolen session goes on", heir.text, Severity.HIGH)
    access = await people.accepted(scene, owner.access)
    scene.unless(access.status == 401, "a stolen session's access token lives on", access.text, Severity.HIGH)


async def branches(scene: Scene) -> None:
    """Twenty at once with one refresh token: there must be one successor, not twenty sessions."""
    owner = await people.customer(scene, "branches")
    answers = await scene.together(*[lambda: people.refreshed(scene, owner.refresh, source=owner.address)] * 20)
    got = {each.json["refresh_token"] for each in answers if each.status == 200}
    scene.unless(len(got) == 1, "one refresh token makes several sessions", f"{len(got)} successors", Severity.HIGH)


async def logout(scene: Scene) -> None:
    """After a logout, of this session or of all, nothing of it may work any more."""
    owner = await people.customer(scene, "logout")
    first, access = owner.refresh, owner.access
    await people.signed_in(scene, owner)
    gone = await _logout(scene, {"refresh_token": first})
    scene.unless(gone.status == 204, "there is no way to sign out", f"{gone.word} {gone.text}", Severity.MEDIUM)
    again = await people.refreshed(scene, first, source=owner.address)
    scene.unless(again.status == 401, "a session outlives its logout", again.text, Severity.CRITICAL)
    other = await people.refreshed(scene, owner.refresh, source=owner.address)
    scene.unless(other.status == 200, "a logout ends other sessions too", other.text, Severity.LOW)
    people.remember(scene, owner, other.json)
    await _logout(scene, {"refresh_token": owner.refresh, "all": True})
    for what, answer in {
        "an access token": await people.accepted(scene, access),
        "the last access token": await people.accepted(scene, owner.access),
        "a refresh token": await people.refreshed(scene, owner.refresh, source=owner.address),
    }.items():
        scene.unless(answer.status == 401, f"{what} outlives the logout of all", answer.text, Severity.HIGH)
    stranger = await _logout(scene, {"refresh_token": "x.y.z", "all": True})
    scene.unless(stranger.status in {204, 401}, "logout tells about unknown tokens", stranger.text, Severity.LOW)


async def password_change(scene: Scene) -> None:
    """A changed password ends the other sessions; changing it takes the present one, and is no way to guess it."""
    owner = await people.customer(scene, "password")
    thief = Person(owner.email, owner.password, address=scene.address())
    await people.signed_in(scene, thief)
    wanted = f"{owner.password}-2"
    scene.secrets[f"new password of {owner.email}"] = wanted
    wrong = await _change(scene, owner, "Wrong-Pw-1!", wanted)
    scene.unless(wrong.status == 401, "a password changes without the old one", wrong.text, Severity.CRITICAL)
    weak = await _change(scene, owner, owner.password, "short")
    scene.unless(weak.status in {400, 401}, "a password changes to a weak one", weak.text, Severity.HIGH)
    changed = await _change(scene, owner, owner.password, wanted)
    scene.unless(changed.status == 204, "nobody can change a password", changed.text, Severity.MEDIUM)
    if changed.status == 204:
        old = await people.login(scene, owner.email, owner.password, source=owner.address)
        scene.unless(old.status == 401, "the old password still opens", old.text, Severity.CRITICAL)
        kept = await people.refreshed(scene, thief.refresh, source=thief.address)
        scene.unless(kept.status == 401, "a thief's session outlives the password", kept.text, Severity.HIGH)
        alive = await people.accepted(scene, thief.access)
        scene.unless(alive.status == 401, "a thief's access token outlives the password", alive.text, Severity.HIGH)


async def others(scene: Scene) -> None:
    """Somebody else's sessions: listing them, ending them, by id and by parameter."""
    owner = await people.customer(scene, "owner")
    thief = await people.customer(scene, "thief")
    listed = await scene.ask("auth", "GET", "/auth/sessions", token=owner.access, source=owner.address)
    rows = listed.json if isinstance(listed.json, list) else (listed.json or {}).get("data", [])
    scene.unless(listed.status == 200, "nobody can see their sessions", listed.text, Severity.LOW)
    aside = f"/auth/sessions?user_id={owner.id}"
    peek = await scene.ask("auth", "GET", aside, token=thief.access, source=thief.address)
    leaks = peek.status == 200 and any(str(row["id"]) in peek.text for row in rows)
    scene.unless(not leaks, "a stranger sees sessions", peek.text, Severity.HIGH)
    for row in rows:
        path = f"/auth/sessions/{row['id']}"
        cut = await scene.ask("auth", "DELETE", path, token=thief.access, source=thief.address)
        scene.unless(cut.status in {403, 404, 204}, "a stranger's try to end a session", cut.text, Severity.LOW)
    alive = await people.refreshed(scene, owner.refresh, source=owner.address)
    scene.unless(alive.status == 200, "a stranger can end a session", alive.text, Severity.HIGH)


async def deactivated(scene: Scene) -> None:
    """A deactivated account: its tokens, its sign-in, its refresh."""
    owner = await people.customer(scene, "gone")
    closed = await scene.ask("auth", "DELETE", f"/auth/users/{owner.id}", token=owner.access, source=owner.address)
    scene.unless(closed.status == 204, "an account cannot be closed", closed.text, Severity.LOW)
    for what, answer in {
        "access token": await people.accepted(scene, owner.access),
        "refresh token": await people.refreshed(scene, owner.refresh, source=owner.address),
        "order": await scene.ask("orders", "GET", "/orders", token=owner.access, source=owner.address),
    }.items():
        scene.unless(answer.status == 401, f"a deactivated account's {what} holds", answer.text, Severity.CRITICAL)
    right = await people.login(scene, owner.email, owner.password, source=owner.address)
    scene.unless(right.status == 403, "a deactivated account can sign in", right.text, Severity.CRITICAL)


async def _logout(scene: Scene, body: dict[str, object]) -> Answer:
    return await scene.ask("auth", "POST", "/auth/logout", body=body, source=scene.address())


async def _change(scene: Scene, owner: Person, present: str, wanted: str) -> Answer:
    body = {"current_password": present, "new_password": wanted, "refresh_token": owner.refresh}
    return await scene.ask("auth", "POST", "/auth/password", token=owner.access, body=body, source=owner.address)
