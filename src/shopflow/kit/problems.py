"""The kinds of problem that ShopFlow tells anyone about, and how they are raised.

A problem is for the caller: it names the field and the rule, never the value (B7, A17). Nothing in here knows HTTP or
AMQP: `kit.service` and `kit.consumer` decide what each kind means on their wire.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What went wrong, as far as the caller has to tell it apart."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition-failed"
    UNPROCESSABLE = "unprocessable"
    TOO_LARGE = "too-large"
    HEADERS_TOO_LARGE = "headers-too-large"
    UNSUPPORTED_TYPE = "unsupported-type"
    TIMED_OUT = "timed-out"
    TOO_MANY = "too-many"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class FieldError(msgspec.Struct, frozen=True):
    """One rule that one field breaks: `items[0].quantity`, "must be at least 1"."""

    field: str
    rule: str


class Problem(Exception):
    """Something the caller can be told.

    Attributes:
        kind: decides the status on the wire.
        code: the stable name programs may rely on, in lower case with hyphens.
        detail: one sentence for a person; never holds what was sent.
        errors: which fields break which rules.
        retry_after: seconds after which trying again makes sense, where that is known.
        headers: further headers of an HTTP answer, such as Allow.
    """

    def __init__(
        self,
        kind: Kind,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = kind
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.headers = headers or {}


def invalid(*errors: FieldError, code: str = "invalid-request", detail: str | None = None) -> Problem:
    """The input breaks rules; every broken one is listed."""
    fields = ", ".join(dict.fromkeys(error.field for error in errors))
    return Problem(Kind.INVALID, code, detail or f"These fields break a rule: {fields}.", errors=errors)


def unauthenticated(code: str, detail: str, *, retry_after: int | None = None) -> Problem:
    """The caller is not known: no token, or one that does not hold."""
    return Problem(Kind.UNAUTHENTICATED, code, detail, retry_after=retry_after)


def forbidden(detail: str, *, code: str = "forbidden") -> Problem:
    """The caller is known and may not do this."""
    return Problem(Kind.FORBIDDEN, code, detail)


def not_found(what: str) -> Problem:
    """There is no such thing: `what` is its name in lower case, such as "order"."""
    return Problem(Kind.NOT_FOUND, f"{what}-not-found", f"There is no such {what}.")


def conflict(code: str, detail: str, *, retry_after: int | None = None) -> Problem:
    """The state of things does not allow this now."""
    return Problem(Kind.CONFLICT, code, detail, retry_after=retry_after)


def unavailable(code: str, detail: str, *, retry_after: int = 1) -> Problem:
    """Something ShopFlow depends on does not answer; the same request may go through later."""
    return Problem(Kind.UNAVAILABLE, code, detail, retry_after=retry_after)
