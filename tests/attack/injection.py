"""SQL, templates, headers and markup in every text that a customer may give; then a look at what became of it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from html.parser import HTMLParser
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

from tests.attack import people
from tests.attack.findings import Severity
from tests.attack.people import ORDER
from tests.attack.scene import Person, Scene
from tests.attack.wire import Answer

SQL: Final = (
    "'; SELECT pg_sleep(6); --",
    "' OR '1'='1",
    "x'); DELETE FROM orders; --",
    "1 UNION SELECT password_hash FROM users",
    "$1 %s %(id)s {0} \\'; --",
)
MARKUP: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></tr></table><h1>owned</h1>",
    "{{ 191 * 7 }} {% for x in y %} ${191*7} #{191*7} <%= 191*7 %>",
    "javascript:alert(1) <a href='javascript:alert(1)'>",
)
HEADERS: Final = ("Case\r\nBcc: thief@shop.example", "Case\nSubject: owned", "=?utf-8?q?=0ABcc=3A_t@x.yz?=", "Case\x00")
_SLOW: Final = 5.0
_CALCULATED: Final = "1337"
_HARMLESS: Final = "Lamp"
_LONG: Final = "1" * 12_000


async def names(scene: Scene) -> None:
    """Names at registration: line breaks and NUL must be refused, everything else is just a name."""
    for text in (*SQL, *MARKUP, *HEADERS):
        answer = await _quick(scene, "first_name", partial(_registered, scene), text)
        breaks = any(sign in text for sign in "\r\n\x00")
        fits = answer.status == 400 if breaks else answer.status in {201, 400}
        scene.unless(fits, "a name with a line break is taken", f"{text!r}: {answer.word}", Severity.MEDIUM)
    for field in ("email", "phone"):
        for text in (*SQL, *HEADERS, "a@b.example\r\nBcc: c@d.example", "+1555\n"):
            body = {**people.details(scene, "names"), field: text}
            answer = await scene.ask("auth", "POST", "/auth/register", body=body, source=scene.address())
            scene.unless(answer.status == 400, f"{text!r} is taken for {field}", answer.text, Severity.MEDIUM)


async def orders(scene: Scene) -> None:
    """Every text of an order; then the e-mails that it made are read as a mail program reads them."""
    buyer = await people.customer(scene, "buyer", first_name="<b>Case</b> {{ 191 * 7 }}", last_name="=?utf-8?q?x?=")
    placed = []
    for text in (*SQL, *MARKUP, *HEADERS[:3]):
        answer = await _quick(scene, "the order's texts", partial(_ordered, scene, buyer), text)
        if answer.status == 201:
            placed.append(str(answer.json["id"]))
    scene.unless(bool(placed), "no order with an apostrophe can be placed", "all were refused", Severity.LOW)
    kept = await scene.ask("orders", "GET", "/orders?limit=100", token=buyer.access, source=buyer.address)
    listed = (kept.json or {}).get("data", [])
    scene.unless(len(listed) >= len(placed), "orders are gone after an injection", kept.text, Severity.CRITICAL)
    await _mails(scene, buyer, wanted=len(placed))


async def parameters(scene: Scene) -> None:
    """SQL in every parameter, in paths and in headers; none may be slow, fail, or answer more than it should."""
    caller = await people.anybody(scene)
    for text in SQL:
        for service, path in (
            ("orders", "/orders?sort_by={}"),
            ("orders", "/orders?sort_dir={}"),
            ("orders", "/orders?status={}"),
            ("orders", "/orders?cursor={}"),
            ("orders", "/orders/{}"),
            ("orders", "/orders/{}/history"),
            ("notifications", "/notifications?channel={}"),
            ("notifications", "/notifications?order_id={}"),
            ("notifications", "/notifications/{}"),
            ("auth", "/auth/users/{}"),
        ):
            answer = await _quick(scene, path, partial(_read, scene, caller, service, path), text)
            refused = answer.status in {400, 403, 404}
            scene.unless(refused, "a parameter takes anything", f"{path} {text}: {answer.text}", Severity.HIGH)
        sent = [("traceparent", text), ("tracestate", text), ("User-Agent", text), ("X-Forwarded-For", text)]
        sent += [("If-Match", text), ("Idempotency-Key", text), ("Accept", text), ("baggage", text * 50)]
        answer = await scene.ask("orders", "GET", "/orders", token=caller.access, headers=sent, source=caller.address)
        scene.unless(answer.status == 200, "a header breaks a request", f"{text}: {answer.text}", Severity.MEDIUM)


async def busy(scene: Scene) -> None:
    """Texts that make careless patterns try all ways: addresses, numbers, searches; none may keep a service busy."""
    admin = await people.admin(scene)
    for email in ("a" * 64 + "@" + "a." * 90, "a." * 100 + "@b.example", "!" * 200, "@" * 250, "a@" + "-" * 200 + ".b"):
        await _quick(scene, "an address", partial(_signing_in, scene), email)
    for field, text in (("phone", "+" + _LONG), ("first_name", "\u0301" * 100), ("email", _LONG + "@b.c")):
        await _quick(scene, field, partial(_registered, scene, field=field), text)
    for query in ("%_" * 300, "(((((a*)*)*)*)*)*b", "\\" * 500, "a" * 2000):
        answer = await _quick(scene, "a search", partial(_read, scene, admin, "auth", "/auth/users?q={}"), query)
        scene.unless(answer.status in {200, 400, 414, 431}, "a search breaks", answer.text, Severity.MEDIUM)


async def _quick(scene: Scene, where: str, ask: Callable[[str], Awaitable[Answer]], text: str) -> Answer:
    """What is answered. What sleeps does so each time and a harmless text does not; a busy machine delays both."""
    answer = await ask(text)
    if answer.seconds >= _SLOW:
        beyond = answer.seconds - (await ask(_HARMLESS)).seconds
        for _ in range(2):
            if beyond >= _SLOW / 2:
                beyond = min(beyond, (await ask(text)).seconds - (await ask(_HARMLESS)).seconds)
        title = "a text is run by the database, or keeps it busy"
        said = f"{where}: {answer.seconds:.1f} s, {beyond:.1f} s more than another"
        scene.unless(beyond < _SLOW / 2, title, said, Severity.CRITICAL)
    return answer


async def _read(scene: Scene, caller: Person, service: str, path: str, text: str) -> Answer:
    asked = path.replace("{}", quote(text, safe=""))
    return await scene.ask(service, "GET", asked, token=caller.access, source=caller.address)


async def _signing_in(scene: Scene, email: str) -> Answer:
    return await people.login(scene, email, "Wrong-Pw-1!", source=scene.address())


async def _registered(scene: Scene, text: str, *, field: str = "first_name") -> Answer:
    body = {**people.details(scene, "names"), "last_name": text[:100], field: text[: 100 if "name" in field else None]}
    return await scene.ask("auth", "POST", "/auth/register", body=body, source=scene.address())


async def _ordered(scene: Scene, buyer: Person, text: str) -> Answer:
    line = {**ORDER["items"][0], "product_name": text[:200]}
    address = {**ORDER["shipping_address"], "street": text[:200], "city": text[:200], "zip_code": text[:20]}
    body = {**ORDER, "items": [line], "shipping_address": address, "notes": text}
    return await scene.ask("orders", "POST", "/orders", token=buyer.access, body=body, source=buyer.address)


async def _mails(scene: Scene, buyer: Person, *, wanted: int) -> None:
    if "mailbox" not in scene.target.bases or not wanted:
        return
    until = monotonic() + 45
    mails: list[dict[str, Any]] = []
    while len(mails) < wanted and monotonic() < until:
        await asyncio.sleep(0.2)
        answer = await scene.ask("mailbox", "GET", f"/messages?channel=email&to={buyer.email}")
        mails = answer.json if isinstance(answer.json, list) else []
    scene.unless(len(mails) >= wanted, "odd orders bring no e-mail", f"{len(mails)} of {wanted}", Severity.MEDIUM)
    for mail in mails:
        examine(scene, mail)


def examine(scene: Scene, mail: dict[str, Any]) -> None:
    """Reads an e-mail for what customers' text must not have become."""
    subject, html, headers = mail.get("subject") or "", mail.get("html") or "", mail.get("headers") or {}
    scene.unless(not re.search(r"[\r\n\x00]", subject), "a subject has a line break", repr(subject), Severity.HIGH)
    names = {str(name).lower() for name in (headers if isinstance(headers, dict) else [])}
    scene.unless("bcc" not in names, "a customer adds a recipient", str(headers), Severity.CRITICAL)
    live = Elements(html).live
    scene.unless(not live, "a customer's text is live in an e-mail", f"{live} in {subject}", Severity.HIGH)
    said = html + (mail.get("text") or "") + subject
    scene.unless(_CALCULATED not in said, "a customer's text is run as a template", subject, Severity.CRITICAL)


class Elements(HTMLParser):
    """The elements and attributes of a page that run, load, or lead elsewhere; our own e-mails have none of them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self._headlines = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps what does something, and a second headline."""
        self._headlines += tag == "h1"
        if tag in {"script", "iframe", "object", "embed", "img", "form", "svg", "b", "a"} or self._headlines > 1:
            self.live.append(tag)
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.live.append(f"{tag} {name}")
