"""Idempotency keys: which texts are keys, and when two bodies ask for the same (B1, B2).

Pure. A key belongs to one user and one route, and is good for a day; what was answered to it is the store's to keep.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from shopflow.kit.problems import FieldError, invalid

ROUTE: Final = "POST /orders"
"""The one route that takes keys; a column of the table all the same, so that others can."""

HEADER: Final = "Idempotency-Key"
RULE: Final = "must be one text of 1 to 255 printable ASCII characters"
PATTERN: Final = "^[ -~]{1,255}$"

_KEY: Final = re.compile(r"[ -~]{1,255}")
_NUMBER: Final = re.compile(
    r"(?P<sign>-?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)


@dataclass(frozen=True)
class Key:
    """A caller's key, and the digest of what was asked with it."""

    text: str
    fingerprint: bytes


def key(lines: Sequence[str], body: bytes) -> Key:
    """The key of a request.

    Args:
        lines: the values of its `Idempotency-Key` fields, as many as there are.
        body: the request's body, which has been read strictly.

    Raises:
        Problem: of kind invalid.
    """
    if len(lines) != 1 or _KEY.fullmatch(lines[0]) is None:
        raise invalid(FieldError(HEADER, RULE))
    return Key(lines[0], fingerprint(body))


def fingerprint(body: bytes) -> bytes:
    """SHA-256 of a body's meaning: order of members, white space and spelling do not count, every value does.

    Numbers are compared as the exact decimals that they are: 49.9, 49.90 and 4.99e1 are one price. Members that nobody
    reads count like the others.
    """
    value = json.loads(body, parse_int=_number, parse_float=_number)
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


def _number(text: str) -> str:
    """A number as its digits and the place of the last one, in a text that no string of a strict body can be: it
    begins with NUL."""
    written = _NUMBER.fullmatch(text)
    if written is None:
        raise ValueError("not a number of JSON")
    fraction = written["fraction"] or ""
    digits = (written["whole"] + fraction).lstrip("0")
    kept = digits.rstrip("0")
    last = int(written["exponent"] or 0) - len(fraction) + len(digits) - len(kept)
    return f"\0{written['sign']}{kept}e{last}" if kept else "\0zero"
