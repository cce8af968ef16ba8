"""Conditional requests (RFC 9110, 8.8.3 and 13.1.1): entity tags, and the `If-Match` that names them.

Pure. When a condition is looked at, and that nothing changes in between, is the use case's business.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shopflow.kit.problems import FieldError, Kind, Problem, invalid

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST: Final = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")


@dataclass(frozen=True)
class IfMatch:
    """Which versions a caller knows, by their strong tags; None stands for whichever there is (`*`)."""

    tags: frozenset[str] | None

    def demand(self, tag: str) -> None:
        """Goes on when the present version is one of them. A weak tag never matches.

        Raises:
            Problem: the precondition failed.
        """
        if self.tags is not None and tag not in self.tags:
            raise Problem(
                Kind.PRECONDITION_FAILED, "precondition-failed", "It has changed: read it again, and decide again."
            )


def strong(version: str) -> str:
    """The strong entity tag of a version, as `ETag` and `If-Match` write it."""
    return f'"{version}"'


def if_match(lines: Sequence[str]) -> IfMatch:
    """The condition of a request.

    Args:
        lines: the values of its `If-Match` fields, as many as there are.

    Raises:
        Problem: of kind invalid.
    """
    text = ", ".join(lines)
    if text.strip(" \t") == "*":
        return IfMatch(None)
    if _LIST.fullmatch(text) is None:
        raise invalid(FieldError("If-Match", 'must be * or a list of entity tags, such as "pending"'))
    return IfMatch(frozenset(tag for tag in re.findall(_TAG, text) if not tag.startswith("W/")))
