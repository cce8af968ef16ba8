"""What no answer to any request may show, whatever was asked: looked for in every single one."""

import re
from collections.abc import Collection, Iterator
from typing import Final

from tests.attack.findings import Finding, Severity
from tests.attack.wire import Answer

_INSIDES: Final = re.compile(
    r"Traceback \(most recent|File \"[^\"]+\", line \d+|asyncpg\.|aiormq|/site-packages/|\bpostgresql://|\bamqp://"
    r"|\bSELECT [\w*., ]+ FROM\b|\bINSERT INTO\b|syntax error at or near|root:x:0:0|relation \"\w+\" does not exist"
)
_PROBLEM: Final = "application/problem+json"


def complaints(asked: str, answer: Answer, *, hidden: Collection[str]) -> Iterator[Finding]:
    """What is wrong with an answer to `asked`, by rules that hold for all; `hidden` are texts it must not repeat."""
    if answer.status == 0:
        return
    shown = f"{asked} → {answer.status} {answer.text[:300]!r}"
    if answer.status >= 500 and not (answer.status == 503 and answer.header("Retry-After")):
        yield Finding("a request makes the service fail", shown, Severity.HIGH)
    if answer.status >= 400 and (inside := _INSIDES.search(answer.text)):
        yield Finding("an answer shows the inside", f"{inside[0]!r} in {shown}", Severity.HIGH)
    if any(secret in answer.text for secret in hidden):
        yield Finding("an answer repeats a password", shown, Severity.HIGH)
    yield from _of_headers(shown, answer)


def _of_headers(shown: str, answer: Answer) -> Iterator[Finding]:
    kind = answer.header("Content-Type") or ""
    if answer.status >= 400 and answer.body and not kind.startswith(_PROBLEM):
        yield Finding("an error is no problem document", f"{kind!r}: {shown}", Severity.LOW)
    if answer.body and not kind:
        yield Finding("an answer does not say what it is", shown, Severity.LOW)
    if answer.body and kind and (answer.header("X-Content-Type-Options") or "").lower() != "nosniff":
        yield Finding("an answer lets browsers guess its type", f"no nosniff: {shown}", Severity.LOW)
    if answer.status == 401 and answer.header("WWW-Authenticate") is None:
        yield Finding("a 401 does not say how to authenticate", shown, Severity.LOW)
    if answer.header("Set-Cookie") is not None:
        yield Finding("an answer sets a cookie", shown, Severity.MEDIUM)
    if (answer.header("Access-Control-Allow-Origin") or "") not in {"", "https://shop.example"}:
        yield Finding("an answer opens itself to other origins", f"{answer.headers} {shown}", Severity.HIGH)
    if re.search(r"\d+\.\d+", answer.header("Server") or "") or answer.header("X-Powered-By"):
        yield Finding("an answer tells the versions of its software", f"{answer.headers}", Severity.LOW)
