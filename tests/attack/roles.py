"""Every operation that the services describe, with nobody's token, a stranger's, a service's: who gets in where.

The table below is the policy as the documents tell it. An operation that is not in it is a finding: somebody has to say
who may call it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.scene import Person, Scene
from tests.attack.target import SERVICES
from tests.attack.wire import Answer

ANYONE, OWNER, ADMIN, SERVICE_TOO = "anyone", "owner", "admin", "owner and services"

POLICY: Final = {
    "POST /auth/register": ANYONE,
    "POST /auth/login": ANYONE,
    "POST /auth/refresh": ANYONE,
    "POST /auth/logout": ANYONE,
    "POST /auth/validate": SERVICE_TOO,
    "POST /auth/password": OWNER,
    "GET /auth/sessions": OWNER,
    "DELETE /auth/sessions/{}": OWNER,
    "GET /auth/users": ADMIN,
    "GET /auth/users/{}": SERVICE_TOO,
    "PATCH /auth/users/{}": OWNER,
    "DELETE /auth/users/{}": OWNER,
    "POST /auth/service-tokens/revoke": ADMIN,
    "GET /orders": OWNER,
    "POST /orders": OWNER,
    "GET /orders/{}": SERVICE_TOO,
    "GET /orders/{}/history": OWNER,
    "PATCH /orders/{}/status": ADMIN,
    "GET /notifications": OWNER,
    "GET /notifications/{}": OWNER,
    "GET /notifications/{}/attempts": OWNER,
    "POST /notifications/{}/resend": ADMIN,
    "GET /notifications/dead-letters": ADMIN,
    "GET /notifications/dead-letters/{}": ADMIN,
    "POST /notifications/dead-letters/{}/replay": ADMIN,
    "POST /notifications/dead-letters/{}/discard": ADMIN,
    "POST /notifications/dead-letters/replay": ADMIN,
    "POST /notifications/callbacks/ses": ANYONE,
    "POST /notifications/callbacks/twilio": ANYONE,
    **{f"GET {path}": ANYONE for path in ("/health", "/ready", "/metrics", "/openapi.json", "/docs")},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one service, with a path in which every parameter is a `{}`."""

    service: str
    method: str
    path: str
    sample: Any

    @property
    def key(self) -> str:
        """Its row in the policy."""
        return f"{self.method} {self.path}"

    def at(self, value: str) -> str:
        """Its path for one thing."""
        return self.path.replace("{}", value)


async def operations(scene: Scene) -> list[Operation]:
    """What the services say of themselves."""
    found: list[Operation] = []
    for service in SERVICES:
        described = (await scene.ask(service, "GET", "/openapi.json")).json or {}
        found.extend(_described(service, described))
    return found


def _described(service: str, document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document.get("paths", {}).items():
        shape = "/".join("{}" if piece.startswith("{") else piece for piece in path.split("/"))
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            yield Operation(service, method.upper(), shape, content.get("example"))


async def everybody(scene: Scene) -> None:
    """Every operation with no token, with junk, as a stranger about somebody's things, as a service."""
    victim = await people.customer(scene, "victim")
    await people.ordered(scene, victim)
    stranger = await people.customer(scene, "stranger")
    service = scene.target.service_token("notification")
    for operation in await operations(scene):
        who = POLICY.get(operation.key)
        if who is None:
            title = "nobody has said who may call this"
            scene.notes.finds(title, f"{operation.service} {operation.key}", Severity.LOW)
        if who == ANYONE:
            continue
        await _without_token(scene, operation)
        await _as_stranger(scene, operation, stranger, victim)
        if service is not None and who != SERVICE_TOO:
            await _as_service(scene, operation, service, victim)
    alive = await people.accepted(scene, victim.access)
    scene.unless(alive.status == 200, "a stranger shut somebody out", alive.text, Severity.CRITICAL)


async def _without_token(scene: Scene, operation: Operation) -> None:
    for token in (None, "x.y.z"):
        answer = await _call(scene, operation, str(uuid4()), token=token, source=scene.address())
        said = f"{operation.key}: {answer.word} {answer.text[:200]}"
        scene.unless(answer.status in {401, 405}, "an operation is open to everybody", said, Severity.CRITICAL)


async def _as_stranger(scene: Scene, operation: Operation, stranger: Person, victim: Person) -> None:
    """A customer about somebody else's things; where an operation names none, only admins' are out of reach."""
    for thing in (victim.id, *victim.orders):
        if "{}" not in operation.path and POLICY.get(operation.key) != ADMIN:
            return
        answer = await _call(scene, operation, thing, token=stranger.access, source=stranger.address)
        said = f"{operation.key} about {thing}: {answer.word} {answer.text[:200]}"
        scene.unless(answer.status not in range(200, 300), "a stranger gets at it", said, Severity.CRITICAL)
        leaks = victim.email in answer.text or people.STREET in answer.text
        scene.unless(not leaks, "a refusal tells what it guards", said, Severity.HIGH)


async def _as_service(scene: Scene, operation: Operation, token: str, victim: Person) -> None:
    """A stolen service token: it may read orders and profiles, and nothing else."""
    for thing in (victim.id, *victim.orders):
        answer = await _call(scene, operation, thing, token=token, source=scene.address())
        said = f"{operation.key}: {answer.word} {answer.text[:200]}"
        scene.unless(answer.status not in range(200, 300), "a service may do more than read", said, Severity.HIGH)


async def _call(scene: Scene, operation: Operation, thing: str, *, token: str | None, source: str) -> Answer:
    body = operation.sample if operation.sample is not None else {} if operation.method in {"POST", "PATCH"} else None
    path = operation.at(thing)
    return await scene.ask(operation.service, operation.method, path, token=token, body=body, source=source)


async def reaching_further(scene: Scene) -> None:
    """Parameters, fields and headers by which a customer may try to see or become more than they are."""
    victim = await people.customer(scene, "seen")
    await people.ordered(scene, victim)
    thief = await people.customer(scene, "curious")
    for service, path in {
        ("orders", f"/orders?user_id={victim.id}"),
        ("orders", "/orders?scope=all"),
        ("orders", f"/orders?id_prefix={victim.orders[0][:8]}"),
        ("orders", f"/orders?user_id={thief.id}&user_id={victim.id}"),
        ("notifications", f"/notifications?user_id={victim.id}"),
        ("notifications", "/notifications?scope=all"),
        ("notifications", f"/notifications?order_id={victim.orders[0]}"),
        ("auth", f"/auth/users?email={victim.email}"),
        ("auth", "/auth/users?q=a"),
    }:
        answer = await scene.ask(service, "GET", path, token=thief.access, source=thief.address)
        leaks = victim.id in answer.text or victim.orders[0] in answer.text or victim.email in answer.text
        scene.unless(not leaks, "a customer sees somebody else's things", f"{path}: {answer.text}", Severity.CRITICAL)
    for header in ("X-HTTP-Method-Override", "X-Method-Override", "X-Original-Method"):
        path = f"/orders/{victim.orders[0]}"
        sent = [(header, "PATCH"), ("X-Original-URL", "/orders?scope=all"), ("X-Rewrite-URL", "/orders?scope=all")]
        answer = await scene.ask("orders", "GET", path, token=thief.access, headers=sent, source=thief.address)
        scene.unless(answer.status == 403, "a header changes what was asked", f"{header}: {answer.text}", Severity.HIGH)


async def mass_assignment(scene: Scene) -> None:
    """Fields that nobody offered: a role at registration, somebody else's id and a price of one's own at ordering."""
    extra = {"role": "admin", "is_active": True, "id": str(uuid4()), "is_admin": True, "created_at": "2001-01-01"}
    grabby = await people.customer(scene, "grabby", **extra)
    said = await people.accepted(scene, grabby.access)
    role = (said.json or {}).get("user", {}).get("role")
    scene.unless(role == "customer", "whoever asks is registered as an admin", said.text, Severity.CRITICAL)
    scene.unless(grabby.id != extra["id"], "a customer chooses their id", grabby.id, Severity.HIGH)
    own = f"/auth/users/{grabby.id}"
    for change in ({"role": "admin"}, {"is_active": True, "role": "admin"}, {"role": "service"}, {"email": "x@y.zz"}):
        await scene.ask("auth", "PATCH", own, token=grabby.access, body=change, source=grabby.address)
    said = await people.accepted(scene, grabby.access)
    kept = (said.json or {}).get("user", {})
    scene.unless(kept.get("role") == "customer", "a customer makes themself an admin", said.text, Severity.CRITICAL)
    scene.unless(kept.get("email") == grabby.email, "an unasked field is stored", said.text, Severity.HIGH)
    other = str(uuid4())
    forced = {"user_id": other, "id": other, "status": "delivered", "total_amount": 0.01, "created_at": "2001-01-01"}
    placed = await people.ordered(scene, grabby, **forced)
    answer = await scene.ask("orders", "GET", f"/orders/{placed}", token=grabby.access, source=grabby.address)
    row = answer.json or {}
    honest = (row.get("user_id"), row.get("status"), row.get("total_amount")) == (grabby.id, "pending", 99.98)
    scene.unless(honest and placed != other, "an order believes what it is told", answer.text, Severity.CRITICAL)
