"""What a browser makes of the answers: other origins, framing, scripts, caches, and requests that it sends unasked."""

import re
from typing import Final

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.scene import Scene
from tests.attack.target import SERVICES
from tests.attack.wire import Answer

_EVIL: Final = ("https://evil.example", "null", "https://shop.example.evil.example", "http://127.0.0.1:3000")
_PAGES: Final = (("auth", "/docs"), ("orders", "/docs"), ("notifications", "/docs"), ("mailbox", "/"), ("console", "/"))


async def origins(scene: Scene) -> None:
    """Another web page asks, with and without a preflight: nothing is opened to it, least of all services' paths."""
    caller = await people.anybody(scene)
    for service, path in (
        ("auth", "/auth/login"),
        ("auth", "/auth/validate"),
        ("orders", "/orders"),
        ("notifications", "/notifications"),
        *((each, inner) for each in SERVICES for inner in ("/health", "/ready", "/metrics")),
    ):
        for origin in _EVIL:
            sent = [("Origin", origin), ("Sec-Fetch-Site", "cross-site")]
            plain = await scene.ask(service, "GET", path, headers=sent, token=caller.access, source=scene.address())
            asked = [*sent, ("Access-Control-Request-Method", "POST")]
            asked.append(("Access-Control-Request-Headers", "authorization"))
            preflight = await scene.ask(service, "OPTIONS", path, headers=asked, source=scene.address())
            for answer in (plain, preflight):
                opened = [header for header in answer.headers if header[0].lower().startswith("access-control-allow-o")]
                said = f"{service}{path} for {origin}: {opened}"
                scene.unless(not opened, "a service opens itself to another origin", said, Severity.HIGH)


async def pages(scene: Scene) -> None:
    """Every page for people: scripts from here only, no framing, no guessing of types, nothing told to other sites."""
    for service, path in _PAGES:
        if service not in scene.target.bases:
            continue
        answer = await scene.ask(service, "GET", path)
        said = f"{service}{path}: {answer.headers}"
        policy = answer.header("Content-Security-Policy") or ""
        strict = "'unsafe-eval'" not in policy and "script-src 'unsafe-inline'" not in policy
        for rule in ("object-src 'none'", "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            held = rule in policy or (rule.startswith("object") and "default-src 'none'" in policy)
            scene.unless(held, f"a page does without {rule}", said, Severity.MEDIUM)
        scene.unless(strict, "a page lets scripts run from anywhere", said, Severity.MEDIUM)
        scene.unless(
            answer.header("Referrer-Policy") is not None, "a page tells where one came from", said, Severity.LOW
        )
        inline = "<script>" in answer.text or "onclick=" in answer.text
        scene.unless(not inline, "a page has scripts inside", said, Severity.LOW)
        for asset in re.findall(r'(?:src|href)="(/[^"]+)"', answer.text):
            await scene.ask(service, "GET", asset)  # watched like every answer
        away = [each for each in ('src="http', 'href="http', "//cdn.") if each in answer.text]
        scene.unless(not away, "a page fetches things from elsewhere", f"{away} in {said}", Severity.LOW)


async def caches(scene: Scene) -> None:
    """Answers with tokens and with personal data: no cache on the way may keep them."""
    caller = await people.customer(scene, "caches")
    await people.ordered(scene, caller)
    for service, path in (
        ("auth", f"/auth/users/{caller.id}"),
        ("auth", "/auth/sessions"),
        ("orders", "/orders"),
        ("orders", f"/orders/{caller.orders[0]}"),
        ("notifications", "/notifications"),
    ):
        answer = await scene.ask(service, "GET", path, token=caller.access, source=caller.address)
        _not_kept(scene, f"{service}{path}", answer)
    _not_kept(scene, "login", await people.login(scene, caller.email, caller.password, source=caller.address))
    _not_kept(scene, "refresh", await people.refreshed(scene, caller.refresh, source=caller.address))


def _not_kept(scene: Scene, what: str, answer: Answer) -> None:
    kept = "no-store" not in (answer.header("Cache-Control") or "")
    packed = answer.header("Content-Encoding")
    scene.unless(packed is None, "secrets are compressed beside what others choose", what, Severity.LOW)
    scene.unless(not (answer.status == 200 and kept), "a cache may keep what is personal", what, Severity.LOW)


async def unasked(scene: Scene) -> None:
    """Requests that a web page can make a browser send: GETs that change things, and forms in place of JSON."""
    caller = await people.anybody(scene)
    for path in ("/auth/logout", "/auth/login", "/auth/register", "/auth/refresh", "/auth/password"):
        answer = await scene.ask("auth", "GET", path, token=caller.access, source=scene.address())
        said = f"GET {path}: {answer.word}"
        scene.unless(answer.status in {404, 405}, "a link does what a button should", said, Severity.MEDIUM)
    cookie = [("Cookie", f"access_token={caller.access}; session={caller.refresh}"), ("Origin", _EVIL[0])]
    answer = await scene.ask("orders", "GET", "/orders", headers=cookie, source=scene.address())
    scene.unless(answer.status == 401, "a cookie signs somebody in", answer.text, Severity.HIGH)
