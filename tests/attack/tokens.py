"""Tries to be somebody else with tokens that are false, of the wrong kind, or in the wrong place."""

from collections.abc import Iterable
from time import time
from typing import Final

from tests.attack import forgery, people
from tests.attack.findings import Severity
from tests.attack.scene import Person, Scene
from tests.attack.wire import Answer

_DOORS: Final = (("orders", "/orders"), ("notifications", "/notifications"))


async def forged(scene: Scene) -> None:
    """False signatures, guessed secrets, keys brought along, changed claims: at validation and at every service."""
    victim = await people.customer(scene, "forged")
    claims = forgery.unpacked(victim.access.split(".")[1])
    admins = {**claims, "role": "admin"}
    false = [*forgery.unsigned(victim.access), *forgery.mangled(victim.access), *forgery.guessed(admins)]
    await _try_all(scene, victim, false)
    for what, token in false[:: max(1, len(false) // 8)]:
        for service, path in _DOORS:
            answer = await scene.ask(service, "GET", path, token=token, source=scene.address())
            _refused(scene, f"{what} at {service}", answer)


async def stolen_secret(scene: Scene) -> None:
    """With the signing secret itself: expired tokens, accounts that are not there, roles that the account has not."""
    secret = scene.target.signing_secret
    if secret is None:
        return
    victim = await people.customer(scene, "secret")
    claims = forgery.unpacked(victim.access.split(".")[1])
    await _try_all(scene, victim, forgery.with_the_secret(secret, claims, now=int(time())))
    promoted = forgery.signed(forgery.HEADER, {**claims, "role": "admin"}, secret)
    said = await people.accepted(scene, promoted)
    role = said.json["user"]["role"] if said.status == 200 else None
    scene.unless(role in {None, "customer"}, "a role is taken from the token", said.text, Severity.CRITICAL)


async def wrong_kind(scene: Scene) -> None:
    """Each kind of token where another is due: a refresh token as bearer, an access or service token to refresh."""
    victim = await people.customer(scene, "kinds")
    await _try_all(scene, victim, [("a refresh token as bearer", victim.refresh)])
    for service, path in (*_DOORS, ("auth", f"/auth/users/{victim.id}")):
        answer = await scene.ask(service, "GET", path, token=victim.refresh, source=scene.address())
        _refused(scene, f"a refresh token at {service}", answer)
    for what, token in (("an access token", victim.access), ("a service token", scene.target.service_token("order"))):
        answer = await people.refreshed(scene, token or "", source=scene.address())
        _refused(scene, f"{what} to refresh", answer)


async def headers(scene: Scene) -> None:
    """The Authorization header in forms that parsers read differently, and the token in places where none belongs."""
    victim = await people.customer(scene, "headers")
    own = f"/auth/users/{victim.id}"
    good, junk = victim.access, "x.y.z"
    for what, sent in {
        "nothing": [],
        "an empty header": [("Authorization", "")],
        "a scheme alone": [("Authorization", "Bearer")],
        "two blanks": [("Authorization", f"Bearer  {good}")],
        "a tab": [("Authorization", f"Bearer\t{good}")],
        "Basic": [("Authorization", f"Basic {good}")],
        "no scheme": [("Authorization", good)],
        "a list": [("Authorization", f"Bearer {junk}, Bearer {good}")],
        "two headers, junk first": [("Authorization", f"Bearer {junk}"), ("Authorization", f"Bearer {good}")],
        "two headers, junk last": [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {junk}")],
        "beyond ASCII": [("Authorization", f"Bearer {good}\xff")],
        "a cookie": [("Cookie", f"token={good}; access_token={good}")],
        "another header": [("X-Access-Token", good), ("X-Authorization", f"Bearer {good}")],
        "a trusted proxy's header": [("X-Forwarded-User", victim.id), ("X-User-Id", victim.id), ("X-Role", "admin")],
        "the service's header": [("X-Service-Authorization", f"Bearer {scene.target.service_token('order')}")],
    }.items():
        answer = await scene.ask("auth", "GET", own, headers=sent, source=scene.address())
        _refused(scene, what, answer)
    for query in (f"?access_token={good}", f"?token={good}", f"?authorization=Bearer%20{good}"):
        _refused(scene, "a token in the query", await scene.ask("auth", "GET", own + query, source=scene.address()))


async def _try_all(scene: Scene, victim: Person, tokens: Iterable[tuple[str, str]]) -> None:
    good = await people.accepted(scene, victim.access)
    scene.unless(good.status == 200, "a good token is refused", good.text, Severity.LOW)
    for what, token in tokens:
        _refused(scene, f"{what} at validation", await people.accepted(scene, token))
        own = await scene.ask("auth", "GET", f"/auth/users/{victim.id}", token=token, source=scene.address())
        _refused(scene, f"{what} at the profile", own)


def _refused(scene: Scene, what: str, answer: Answer) -> None:
    """A token that does not hold is a 401; one that is no header at all may be refused below HTTP."""
    title = "a false token is taken for a good one"
    scene.unless(answer.status not in range(200, 400), title, f"{what}: {answer.text}", Severity.CRITICAL)
    refusals = {400, 401, 429, 431, 0}
    scene.unless(answer.status in refusals, "a false token gets as far as another answer", what, Severity.MEDIUM)
