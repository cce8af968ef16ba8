"""The head of a request, read once: what the edge needs to know of its headers, and whether they may be served at all.

Pure. The server has parsed them and refuses what is malformed by itself; refused here is what it lets through and what
two programs could read differently (request smuggling, H-7).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from shopflow.kit.problems import FieldError, Kind, Problem, invalid

MAX_HEADERS: Final = 16 * 1024
"""Bytes that all headers of a request may have together."""

LONGEST_PATH: Final = 256
"""Characters of a path; ours have fewer than a hundred. The router remembers a thousand of those that it was asked."""

LONGEST_QUERY: Final = 2048
"""Bytes of a query; as many of them are remembered."""

MOST_PARAMETERS: Final = 32
"""Parameters of a query; each is remembered as an object of its own."""

_CHUNKED: Final = b"chunked"


@dataclass(slots=True)
class Head:
    """What the headers say. `declared` are the body's bytes, None when they are not said."""

    traceparent: str | None = None
    tracestate: str | None = None
    origin: str | None = None
    preflight: bool = False
    forwarded: list[bytes] = field(default_factory=list)
    declared: int | None = None
    codings: list[bytes] = field(default_factory=list)
    expects: bool = False
    hosts: int = 0
    size: int = 0

    @property
    def has_body(self) -> bool:
        """Whether bytes follow."""
        return bool(self.declared or self.codings)


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head that these headers make; their names are in lower case."""
    head = Head()
    for name, value in headers:
        head.size += len(name) + len(value)
        if (note := _NOTED.get(name)) is not None:
            note(head, value)
    return head


def refusal(head: Head, *, version: str, query: bytes = b"") -> Problem | None:
    """Why a request with this head is not served, or None.

    Args:
        head: what the headers say.
        version: of HTTP, such as `1.1`.
        query: what stands behind the question mark.
    """
    if head.size > MAX_HEADERS:
        return Problem(
            Kind.HEADERS_TOO_LARGE, "headers-too-large", f"The headers have more than {MAX_HEADERS} bytes together."
        )
    if head.codings and [coding.strip().lower() for coding in head.codings] != [_CHUNKED]:
        return _malformed("Transfer-Encoding", "must be chunked, once, or absent")
    if head.hosts > 1 or (not head.hosts and version == "1.1"):
        return _malformed("Host", "must be given once")
    if len(query) > LONGEST_QUERY or query.count(b"&") >= MOST_PARAMETERS:
        return _malformed("query", f"must have at most {LONGEST_QUERY} bytes and {MOST_PARAMETERS} parameters")
    return None


def _malformed(name: str, rule: str) -> Problem:
    return invalid(FieldError(name, rule), code="malformed-request")


def _traceparent(head: Head, value: bytes) -> None:
    head.traceparent = value.decode("latin-1")


def _tracestate(head: Head, value: bytes) -> None:
    head.tracestate = value.decode("latin-1")


def _origin(head: Head, value: bytes) -> None:
    head.origin = value.decode("latin-1")


def _preflight(head: Head, _: bytes) -> None:
    head.preflight = True


def _forwarded(head: Head, value: bytes) -> None:
    head.forwarded.append(value)


def _length(head: Head, value: bytes) -> None:
    head.declared = int(value)  # the server has refused everything but digits


def _coding(head: Head, value: bytes) -> None:
    head.codings.append(value)


def _expects(head: Head, _: bytes) -> None:
    head.expects = True


def _host(head: Head, value: bytes) -> None:
    head.hosts += 1 if value else 0


_NOTED: Final = {
    b"traceparent": _traceparent,
    b"tracestate": _tracestate,
    b"origin": _origin,
    b"access-control-request-method": _preflight,
    b"x-forwarded-for": _forwarded,
    b"content-length": _length,
    b"transfer-encoding": _coding,
    b"expect": _expects,
    b"host": _host,
}
