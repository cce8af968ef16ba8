"""Other doors to the same rooms: other methods, other spellings of a path, other hosts, cursors of somebody else."""

import base64
from typing import Final
from uuid import uuid4

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.roles import ANYONE, POLICY, operations
from tests.attack.scene import Scene

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "MOVE", "QUERY", "get")
_EVIL: Final = "evil.example"


async def methods(scene: Scene) -> None:
    """Every path with every method that it is not described with, as an admin: nothing that nobody wrote may answer."""
    admin = await people.admin(scene)
    described: dict[tuple[str, str], set[str]] = {}
    for operation in await operations(scene):
        described.setdefault((operation.service, operation.path), set()).add(operation.method)
    for (service, path), known in described.items():
        for method in _METHODS:
            if method in known:
                continue
            asked = path.replace("{}", str(uuid4()))
            answer = await scene.ask(service, method, asked, token=admin.access, source=scene.address())
            said = f"{method} {service}{path}: {answer.word} {answer.text[:100]}"
            refused = answer.status in {0, 400, 404, 405, 501}
            scene.unless(refused, "a method that nobody described is answered", said, Severity.MEDIUM)
            names = answer.status != 405 or answer.header("Allow") is not None
            scene.unless(names, "a 405 does not say what is allowed", said, Severity.LOW)


async def spellings(scene: Scene) -> None:
    """Guarded paths in spellings that a proxy or a router may read otherwise, without a token."""
    victim = await people.customer(scene, "spelled")
    order = await people.ordered(scene, victim)
    for operation in await operations(scene):
        if operation.method != "GET" or POLICY.get(operation.key) == ANYONE:
            continue
        path = operation.at(victim.id if "users" in operation.path else order)
        for spelled in _spelled(path):
            answer = await scene.ask(operation.service, "GET", spelled, source=scene.address())
            said = f"{operation.service} {spelled}: {answer.word} {answer.text[:150]}"
            scene.unless(answer.status not in range(200, 400), "a guard is walked around", said, Severity.CRITICAL)
        head = await scene.ask(operation.service, "HEAD", path, source=scene.address())
        scene.unless(head.status == 401, "HEAD walks around a guard", f"{path}: {head.word}", Severity.HIGH)


def _spelled(path: str) -> list[str]:
    first = path.split("/")[1]
    return [
        f"{path}/",
        f"/{path}",
        f"//{path}",
        f"/.{path}",
        f"/health/..{path}",
        f"/docs/..{path}",
        f"/health%2f..{path}",
        path.replace("/", "//", 2),
        path.replace(first, first.upper(), 1),
        path.replace(first, f"%{ord(first[0]):02x}{first[1:]}", 1),
        f"{path};a=b",
        f"{path}%00",
        f"{path}%20",
        f"{path}.json",
        f"{path}?token=x",
        f"{path}#/health",
        f"http://127.0.0.1{path}",
        path.replace("/", "\\", 1),
    ]


async def hosts(scene: Scene) -> None:
    """A false Host, and headers of proxies that name one: no answer may repeat it, and no cache be poisoned by it."""
    for service in ("auth", "orders", "notifications"):
        for path in ("/docs", "/openapi.json", "/orders/", "/nowhere", "/health"):
            for sent in (
                [("Host", _EVIL)],
                [("Host", "shopflow"), ("X-Forwarded-Host", _EVIL), ("X-Forwarded-Proto", "https")],
                [("Host", "shopflow"), ("X-Forwarded-Prefix", f"//{_EVIL}"), ("X-Original-Host", _EVIL)],
                [("Host", "shopflow"), ("Forwarded", f"host={_EVIL};proto=https")],
            ):
                answer = await scene.ask(service, "GET", path, headers=sent, source=scene.address())
                repeated = _EVIL in answer.text or any(_EVIL in value for _, value in answer.headers)
                said = f"{service}{path}, {sent}: {answer.text[:100]}"
                scene.unless(not repeated, "an answer repeats a false host", said, Severity.MEDIUM)


async def cursors(scene: Scene) -> None:
    """A cursor of somebody else's list, a bent one, one of another list: refused, or blind for others' rows."""
    owner = await people.customer(scene, "walker")
    for _ in range(3):
        await people.ordered(scene, owner)
    thief = await people.customer(scene, "follower")
    first = await scene.ask("orders", "GET", "/orders?limit=1&cursor=", token=owner.access, source=owner.address)
    cursor = str((first.json or {}).get("next_cursor") or "")
    scene.unless(bool(cursor), "a list cannot be walked", first.text, Severity.LOW)
    for what, tried in _bent(cursor):
        for service, path in (("orders", "/orders"), ("notifications", "/notifications")):
            asked = f"{path}?limit=1&cursor={tried}"
            answer = await scene.ask(service, "GET", asked, token=thief.access, source=thief.address)
            leaks = any(order in answer.text for order in owner.orders)
            said = f"{what} at {service}: {answer.word} {answer.text[:150]}"
            scene.unless(not leaks, "a cursor shows somebody else's rows", said, Severity.CRITICAL)
            refused = answer.status == 400 or answer.json == {"data": [], "next_cursor": None}
            scene.unless(refused, "a cursor that was not given is taken", said, Severity.LOW)


def _bent(cursor: str) -> list[tuple[str, str]]:
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if cursor else b""
    flipped = bytes([raw[0] ^ 1]) + raw[1:] if raw else b"x"
    return [
        ("somebody else's", cursor),
        ("half of it", cursor[: len(cursor) // 2]),
        ("a bit flipped", base64.urlsafe_b64encode(flipped).decode().rstrip("=")),
        ("twice", cursor + cursor),
        ("upper case", cursor.upper()),
        ("zeros", "A" * len(cursor)),
        ("JSON", base64.urlsafe_b64encode(b'{"id":"x","created_at":"2001-01-01"}').decode().rstrip("=")),
        ("SQL", "%27%20OR%201%3D1--"),
        ("very long", "A" * 8000),
        ("not base64", "%25%25%25"),
    ]


async def lookalikes(scene: Scene) -> None:
    """Accounts that look like the admin's, and one that was closed: no second one may stand in its place."""
    known = scene.target.admin["email"]
    name, _, domain = known.partition("@")
    for email in (
        known.upper(),
        known.title(),
        f"{name}@{domain.upper()}",
        f"{known}.",
        f" {known}",
        f"{known}\t",
        f"{known}\x00",
        f"\uff41{name[1:]}@{domain}",
        f"{name}@{domain.replace('o', chr(0xFF4F))}",
        f"{name}@{domain.replace('.', chr(0x3002))}",
        f"{name}\u200b@{domain}",
        f'"{name}"@{domain}',
        f"{name}(x)@{domain}",
    ):
        body = {**people.details(scene, "like"), "email": email}
        answer = await scene.ask("auth", "POST", "/auth/register", body=body, source=scene.address())
        said = f"{email!r}: {answer.word} {answer.text[:100]}"
        scene.unless(answer.status in {400, 409}, "an address has a double", said, Severity.HIGH)
    closed = await people.customer(scene, "closed")
    await scene.ask("auth", "DELETE", f"/auth/users/{closed.id}", token=closed.access, source=closed.address)
    body = {**people.details(scene, "closed"), "email": closed.email}
    heir = await scene.ask("auth", "POST", "/auth/register", body=body, source=scene.address())
    scene.unless(heir.status == 409, "a closed account's address can be taken", heir.text, Severity.HIGH)
