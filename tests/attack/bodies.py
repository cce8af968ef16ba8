"""JSON that parsers disagree about, and bodies that are none: every operation that takes a body must refuse them."""

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.people import ORDER
from tests.attack.roles import ANYONE, POLICY, Operation, operations
from tests.attack.scene import Person, Scene

_GOOD: Final = json.dumps(ORDER).encode()


def malformed(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Documents that are not JSON, or not as one may rely on; each with what it is."""
    opened = good.rstrip()[:-1]
    first = next(iter(json.loads(good)), "x")
    yield "nothing", b""
    yield "a byte-order mark", b"\xef\xbb\xbf" + good
    yield "UTF-16", good.decode().encode("utf-16")
    yield "UTF-32", good.decode().encode("utf-32")
    yield "invalid UTF-8", opened + b', "x": "\xff\xfe"}'
    yield "overlong UTF-8", opened + b', "x": "\xc0\xaf"}'
    yield "a lone surrogate", opened + b', "x": "\\ud800"}'
    yield "NUL in a string", opened + b', "x": "\\u0000"}'
    yield "a bare NUL", opened + b', "x": "\x00"}'
    yield "a key twice", opened + f', "{first}": null}}'.encode()
    yield "a key twice, escaped", opened + f', "\\u{ord(first[0]):04x}{first[1:]}": null}}'.encode()
    yield "a trailing comma", opened + b",}"
    yield "a comment", opened + b"/* */}"
    yield "single quotes", good.replace(b'"', b"'")
    yield "two documents", good + good
    yield "garbage behind", good + b"x"
    yield "NaN", opened + b', "x": NaN}'
    yield "Infinity", opened + b', "x": -Infinity}'
    yield "hexadecimal", opened + b', "x": 0x10}'
    yield "depth", b"[" * 100_000
    yield "closed depth", b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    yield "half a document", good[: len(good) // 2]
    yield "an array", b"[" + good + b"]"
    yield "a string", json.dumps(good.decode()).encode()
    yield "null", b"null"
    yield "a form", b"email=a%40b.example&password=x"


async def everywhere(scene: Scene) -> None:
    """Every operation with a body, with each of these documents: 400, and never a success or a failure of ours."""
    caller = await people.anybody(scene)
    admin = await people.admin(scene)
    described = [each for each in await operations(scene) if each.sample and each.method in {"POST", "PATCH"}]
    for operation in described:
        good = json.dumps(operation.sample).encode()
        for what, raw in malformed(good):
            who = None if POLICY.get(operation.key) == ANYONE else admin
            answer = await _send(scene, operation, raw, who, caller)
            said = f"{operation.key}, {what}: {answer.word} {answer.text[:200]}"
            refused = answer.status in {400, 401, 403, 404, 413, 415, 429}
            scene.unless(refused, "a body that is no clear JSON is taken", said, Severity.HIGH)


async def types(scene: Scene) -> None:
    """Values of other types than asked for, as attacks on query languages and loose comparisons use them."""
    known = await people.anybody(scene)
    for odd in ({"$ne": None}, {"$gt": ""}, ["a"], [], {}, True, 0, 1, None, "", 1e400):
        for body in ({"email": known.email, "password": odd}, {"email": odd, "password": known.password}):
            raw = json.dumps(body).encode()
            answer = await scene.ask("auth", "POST", "/auth/login", raw=raw, source=scene.address())
            said = f"{raw!r}: {answer.text}"
            scene.unless(answer.status in {400, 429}, "sign-in takes a value of another type", said, Severity.HIGH)


async def amounts(scene: Scene) -> None:
    """Prices and quantities that cost nothing, overflow, or are no numbers: nobody shops for less than they should."""
    buyer = await people.anybody(scene)
    prices = ("0", "-0", "-1", "0.001", "0.005", "1e-7", "1e400", "NaN", "Infinity", '"1.00"', "true", "null", "1e8")
    counts = ("0", "-1", "1.5", "2.0", '"2"', "true", "null", "1e3", "2147483648", "9223372036854775808", "9" * 4300)
    for field, values in (("49.99", prices), ("2", counts)):
        for value in values:
            raw = _GOOD.replace(f": {field}".encode(), f": {value}".encode(), 1)
            answer = await scene.ask("orders", "POST", "/orders", token=buyer.access, raw=raw, source=buyer.address)
            said = f"{value[:40]} for {field}: {answer.word} {answer.text[:200]}"
            scene.unless(answer.status == 400, "an order takes an odd number", said, Severity.HIGH)
    changes: list[dict[str, Any]] = [
        {"items": []},
        {"items": [ORDER["items"][0]] * 1001},
        {"currency": "usd"},
        {"currency": "ZZZ"},
    ]
    for change in changes:
        body = {**ORDER, **change}
        answer = await scene.ask("orders", "POST", "/orders", token=buyer.access, body=body, source=buyer.address)
        scene.unless(answer.status == 400, "an order breaks a rule", f"{change}"[:200], Severity.MEDIUM)


async def kinds(scene: Scene) -> None:
    """Other content types, other encodings, and bodies that grow when they are unpacked."""
    buyer = await people.anybody(scene)
    bomb = gzip.compress(b" " * 20_000_000 + _GOOD)
    for kind, encoding, raw in (
        ("text/plain", None, _GOOD),
        ("application/xml", None, b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"),
        ("application/x-www-form-urlencoded", None, b"items=1"),
        ("multipart/form-data; boundary=x", None, b"--x\r\n\r\n1\r\n--x--"),
        ("application/json; charset=utf-16", None, _GOOD.decode().encode("utf-16")),
        ("application/json", "gzip", bomb),
        ("application/json", "deflate", bomb),
    ):
        sent = [("Content-Type", kind), *([("Content-Encoding", encoding)] if encoding else [])]
        for service, path, token in (("orders", "/orders", buyer.access), ("auth", "/auth/login", None)):
            answer = await scene.ask(service, "POST", path, token=token, headers=sent, raw=raw, source=scene.address())
            said = f"{service} {kind} {encoding}: {answer.word}"
            scene.unless(answer.status in {400, 413, 415}, "another type is read as JSON", said, Severity.MEDIUM)


async def _send(scene: Scene, operation: Operation, raw: bytes, admin: Person | None, caller: Person) -> Any:
    """To an admin's operation as the admin, so that the body is what is refused; about the caller's own things."""
    token = admin.access if admin else None
    path = operation.at(caller.id)
    return await scene.ask(operation.service, operation.method, path, token=token, raw=raw, source=scene.address())
