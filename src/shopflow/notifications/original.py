"""A message of an event as it has to be brought back: its bytes, its id, its own headers, and which copy it is. Pure.

Whatever a stranger published has to fit in here: nothing raises.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shopflow.notifications.parking import headers_as_json, storable

COPY: Final = "x-shopflow-copy"
"""The header that holds a copy's number; the message from the exchange has none, and counts as number 0."""

_MOST: Final = 2**31 - 1


class Original(msgspec.Struct, frozen=True):
    """What of a message is kept for as long as its event is not finished.

    `headers` is JSON, as `parking.headers_as_json` writes it.
    """

    message_id: str
    headers: bytes
    body: bytes
    copy: int = 0


def original(body: bytes, headers: Mapping[str, Any], *, message_id: str | None) -> Original:
    """A message as it came."""
    number = headers.get(COPY)
    copy = number if isinstance(number, int) and 0 <= number <= _MOST else 0
    return Original(storable(message_id or ""), headers_as_json(headers), body, copy)


def numbered(headers: Mapping[str, Any], copy: int) -> dict[str, Any]:
    """Headers of the copy that has this number; 0: those of the message from the exchange."""
    return {**headers, COPY: copy} if copy else dict(headers)
