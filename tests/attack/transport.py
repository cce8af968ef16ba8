"""HTTP below JSON: requests that two parsers read differently, things that are too large, paths that lead elsewhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from tests.attack import people, slow
from tests.attack.findings import Severity
from tests.attack.scene import Scene
from tests.attack.target import SERVICES
from tests.attack.wire import Answer, exchange, request

_SECOND: Final = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
_REFUSED: Final = frozenset({0, 400, 404, 405, 411, 413, 414, 415, 417, 431, 501, 505})
_SETTLED: Final = 1.5
"""Seconds after which a second answer would have come."""

_PATIENCE: Final = 15
"""Seconds that a client may take for a request, generously: 10 are promised."""


def ambiguous() -> Iterator[tuple[str, bytes]]:
    """Requests whose end is in dispute, each with a second request inside its body."""
    hidden = b"0\r\n\r\n" + _SECOND
    length = f"Content-Length: {len(hidden)}".encode()
    for what, fields in (
        ("both lengths", [length, b"Transfer-Encoding: chunked"]),
        ("both lengths, turned around", [b"Transfer-Encoding: chunked", length]),
        ("both, blank before the colon", [length, b"Transfer-Encoding : chunked"]),
        ("both, a tab", [length, b"Transfer-Encoding:\tchunked"]),
        ("both, folded", [length, b"Transfer-Encoding:\r\n chunked"]),
        ("both, upper case", [length, b"TRANSFER-ENCODING: CHUNKED"]),
        ("both, xchunked", [length, b"Transfer-Encoding: xchunked"]),
        ("both, identity", [length, b"Transfer-Encoding: identity, chunked"]),
        ("both, chunked twice", [length, b"Transfer-Encoding: chunked, chunked"]),
        ("both, two headers", [length, b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"]),
        ("both, a quote", [length, b'Transfer-Encoding: "chunked"']),
        ("both, vertical tab", [length, b"Transfer-Encoding: \x0bchunked"]),
    ):
        yield what, _post(fields, hidden)
    for what, fields in (
        ("two lengths", [b"Content-Length: 0", length]),
        ("two lengths, one header", [f"Content-Length: 0, {len(hidden)}".encode()]),
        ("a length with a sign", [f"Content-Length: +{len(hidden)}".encode()]),
        ("a negative length", [b"Content-Length: -1"]),
        ("a hexadecimal length", [b"Content-Length: 0x5"]),
        ("a length with a blank", [b"Content-Length: 0 5"]),
        ("an endless length", [b"Content-Length: " + b"9" * 40]),
        ("a bare CR in a header", [b"X: a\rContent-Length: 0", length]),
        ("NUL in a header", [b"X: a\x00b", b"Content-Length: 0"]),
        ("a header without a colon", [b"nonsense", b"Content-Length: 0"]),
        ("an empty header name", [b": x", b"Content-Length: 0"]),
        ("a bad chunk size", [b"Transfer-Encoding: chunked", b"X: y"]),
    ):
        yield what, _post(fields, hidden if "chunk" not in what else b"0x5\r\nhello\r\n" + hidden)
    bare = hidden.replace(b"\r\n", b"\n")
    yield "bare line feeds", _post([f"Content-Length: {len(bare)}".encode()], bare).replace(b"\r\n", b"\n")
    yield "a chunk that overflows", _post([b"Transfer-Encoding: chunked"], b"ffffffffffffffff1\r\nx\r\n" + hidden)
    yield "a chunk with a bare LF", _post([b"Transfer-Encoding: chunked"], b"5\nhello\n" + hidden)


def _post(fields: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([b"POST /auth/validate HTTP/1.1", b"Host: x", *fields, b"", b""]) + body


async def desync(scene: Scene) -> None:
    """Every form in which one request may pass for two: refused, or read as one, and never answered twice."""
    for service in SERVICES:
        for what, raw in ambiguous():
            answers = await exchange(scene.target.bases[service], raw, within=_SETTLED, most=3)
            judge(scene, f"{service}, {what}", answers)


def judge(scene: Scene, what: str, answers: list[Answer]) -> None:
    """Looks at the answers to one ambiguous request."""
    for each in answers:
        scene.look(what, each)
    if not answers:
        scene.notes.saw("closed")
    said = f"{what}: {[each.status for each in answers]}"
    scene.unless(len(answers) <= 1, "two requests are read out of one", said, Severity.CRITICAL)


async def shapes(scene: Scene) -> None:
    """Request lines and headers as no browser sends them."""
    caller = await people.anybody(scene)
    base = scene.target.bases["orders"]
    for what, raw in {
        "HTTP/0.9": b"GET /orders\r\n\r\n",
        "HTTP/3.7": b"GET /orders HTTP/3.7\r\nHost: x\r\n\r\n",
        "no host": b"GET /orders HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /orders HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "absolute": b"GET http://127.0.0.1:1/orders HTTP/1.1\r\nHost: x\r\n\r\n",
        "authority": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE": b"TRACE /orders HTTP/1.1\r\nHost: x\r\nX-Secret: told\r\n\r\n",
        "a method of 3 000 letters": b"G" * 3000 + b" /orders HTTP/1.1\r\nHost: x\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 30,
        "an upgrade": b"GET /orders HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "NUL bytes": b"\x00" * 400 + b"\r\n\r\n",
    }.items():
        answers = await exchange(base, raw, within=_SETTLED)
        for each in answers:
            scene.look(what, each)
        passed = [each.status for each in answers if 100 < each.status < 400]
        told = [each for each in answers if b"X-Secret" in each.body]
        scene.unless(not passed, "an odd request is answered with success", f"{what}: {passed}", Severity.MEDIUM)
        scene.unless(not told, "TRACE repeats headers", what, Severity.MEDIUM)
    alive = await scene.ask("orders", "GET", "/orders", token=caller.access, source=caller.address)
    scene.unless(alive.status == 200, "odd requests put a service out of order", alive.word, Severity.HIGH)


async def sizes(scene: Scene) -> None:
    """Things that are too large: headers, targets, bodies that are declared, bodies that never end."""
    before = {name: _memory(scene, name) for name in SERVICES}
    for service in SERVICES:
        path = {"auth": "/auth/login", "orders": "/orders", "notifications": "/notifications"}[service]
        for what, raw in {
            "a header of 100 KB": request("GET", path, headers=[("X", "x" * 100_000)]),
            "a token of 100 KB": request("GET", path, headers=[("Authorization", f"Bearer {'x' * 100_000}")]),
            "1 000 headers": request("GET", path, headers=[(f"X-{n}", "x" * 50) for n in range(1000)]),
            "a target of 100 KB": request("GET", f"{path}?q={'x' * 100_000}"),
            "10 GB declared": request("POST", path, headers=[("Content-Length", str(10**10))], body=b"{" * 70_000),
            "20 MB": request("POST", path, body=b'{"email": "' + b"x" * 20_000_000 + b'"}'),
            "20 MB in chunks": _chunked(path, b"x" * 20_000_000),
        }.items():
            answers = await exchange(scene.target.bases[service], raw, within=15)
            for each in answers:
                scene.look(f"{service} {what}", each)
            statuses = {each.status for each in answers}
            fits = statuses <= _REFUSED | {401, 403}
            scene.unless(fits, "something far too large is taken", f"{service} {what}: {statuses}", Severity.HIGH)
    grown = {name: _memory(scene, name) - before[name] for name in SERVICES}
    scene.notes.saw("memory grew by " + " ".join(f"{name} {size} MB" for name, size in grown.items()))
    scene.unless(max(grown.values()) < 60, "large requests stay in memory", f"MB: {grown}", Severity.HIGH)


async def paths(scene: Scene) -> None:
    """Paths that climb, repeat, hide or encode what they ask for."""
    caller = await people.anybody(scene)
    for service in (*SERVICES, "mailbox"):
        if service not in scene.target.bases:
            continue
        for path in (
            "/docs/../../../../../../etc/passwd",
            "/docs/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/docs/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/docs/....//....//....//etc/passwd",
            "/docs/%252e%252e%252f%252e%252e%252fetc/passwd",
            "/docs/..%5c..%5c..%5cetc%5cpasswd",
            "/docs//etc/passwd",
            "/static/../../../../etc/passwd",
            "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/orders/%00",
            "/orders/%c0%ae%c0%ae",
            "/orders/%ff%fe",
            "/.git/HEAD",
            "/.env",
            "/docs/",
            "/docs/.",
            f"/{uuid4().hex}",
            "//127.0.0.1:1/",
            "/orders;/../metrics",
            "/orders/%zz",
        ):
            answer = await scene.ask(service, "GET", path, token=caller.access, source=caller.address)
            listing = "Index of" in answer.text or "[core]" in answer.text or "root:" in answer.text
            said = f"{service}{path}: {answer.word} {answer.text[:100]}"
            scene.unless(not listing, "a path leads to files of the machine", said, Severity.CRITICAL)
            elsewhere = answer.status in range(300, 400) and "127.0.0.1:1" in (answer.header("Location") or "")
            scene.unless(not elsewhere, "a path leads browsers elsewhere", said, Severity.MEDIUM)


async def hanging(scene: Scene) -> None:
    """Hundreds of clients that send a byte now and then, or nothing: others must not notice, and they must be ended."""
    caller = await people.anybody(scene)
    count, seconds = scene.times(400, least=100), scene.times(25, least=6)
    auth, orders = (urlsplit(scene.target.bases[name]) for name in ("auth", "orders"))
    attacking = asyncio.gather(
        slow.slow_headers(str(orders.hostname), orders.port or 80, count, seconds),
        slow.idle(str(orders.hostname), orders.port or 80, count, seconds),
        slow.slow_bodies(str(auth.hostname), auth.port or 80, count, seconds),
    )
    slowest = 0.0
    while not attacking.done():
        answer = await scene.ask("orders", "GET", "/orders", token=caller.access, source=caller.address)
        slowest = max(slowest, answer.seconds if answer.status == 200 else 99)
        await asyncio.sleep(0.1)
    longest = max(held.longest for held in await attacking)
    said = f"{3 * count} slow clients, the slowest other request {slowest:.2f} s, the longest of them {longest:.0f} s"
    scene.notes.saw(said)
    scene.unless(slowest < 4, "slow clients hold up others", said, Severity.HIGH)
    scene.unless(longest < _PATIENCE, "slow clients are never ended", said, Severity.MEDIUM)


def _chunked(path: str, body: bytes) -> bytes:
    head = request("POST", path, headers=[("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")])
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _memory(scene: Scene, name: str) -> int:
    """Megabytes that a service's process holds; 0 for one that cannot be looked at."""
    try:
        pages = Path(f"/proc/{scene.target.pids[name]}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * 4096 // 2**20
    except (OSError, KeyError):
        return 0
