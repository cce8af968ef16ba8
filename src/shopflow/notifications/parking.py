"""What a parked message is: why it was put aside, what its body tells about itself, and its headers as JSON. Pure.

Whatever a stranger published has to fit in here: nothing raises, and what cannot be told is left out.
"""

from base64 import b64decode, b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from typing import Any, Final
from uuid import UUID

import msgspec

from shopflow.contracts.fields import identifier
from shopflow.contracts.topology import SUBSCRIPTIONS

AWAY: Final = "dependency_unavailable"
"""The reason of what was parked because a neighbour did not answer: it is replayed without an operator (R56)."""

LONGEST_REASON: Final = 500
"""Characters of a reason: of the consumer's, and of an operator's."""

LONGEST_SHOWN: Final = 64 * 1024
"""Bytes of a body that are shown; replayed are all of them."""

UNKNOWN: Final = "unknown"

_LARGEST_READ: Final = 1024 * 1024
_MOST_RETRIES: Final = 1_000_000
_DEEPEST: Final = 32
_OURS: Final = ("x-shopflow-", "x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-acquired-count")
_QUEUES: Final = {each.dead_letter_key: each.queue for each in SUBSCRIPTIONS}

KNOWN_KEYS: Final = tuple(_QUEUES)
"""The keys under which messages are parked that came from a queue of ours."""


class State(StrEnum):
    """Where a parked message stands: nobody dealt with it, it went back to its queue, or nobody will."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class Action(StrEnum):
    """What can be done about a parked message."""

    REPLAY = "replay"
    DISCARD = "discard"


class Told(msgspec.Struct, frozen=True):
    """What a body says of itself, each part on its own; believed for finding it again only."""

    event_id: UUID | None = None
    event_type: str | None = None
    order_id: UUID | None = None
    user_id: UUID | None = None


class Parked(msgspec.Struct, frozen=True):
    """One message that was put aside. Equal key, id and digest make it the same message.

    `attempts` is how often it was handled; `headers` is JSON, as `headers_as_json` writes it.
    """

    routing_key: str
    message_id: str
    digest: bytes
    reason: str
    attempts: int
    told: Told
    headers: bytes
    body: bytes


class _Envelope(msgspec.Struct):
    event_id: Any = None
    event_type: Any = None
    payload: Any = None


def parked(
    body: bytes,
    headers: Mapping[str, Any],
    *,
    routing_key: str,
    message_id: str | None,
    retries: object,
    reason: object,
) -> Parked:
    """A message as it comes from the parking queue.

    Args:
        body: its bytes.
        headers: all of them.
        routing_key: under which it was parked.
        message_id: as its publisher set it.
        retries: how many the consumer says to have made, if it does.
        reason: why the consumer put it aside, if it says so.
    """
    return Parked(
        routing_key=storable(routing_key),
        message_id=storable(message_id or ""),
        digest=sha256(body).digest(),
        reason=storable(reason)[:LONGEST_REASON] if isinstance(reason, str) and reason else UNKNOWN,
        attempts=min(max(retries, 0), _MOST_RETRIES) + 1 if isinstance(retries, int) else 0,
        told=told(body),
        headers=headers_as_json(headers),
        body=body,
    )


def source_queue(routing_key: str) -> str | None:
    """The queue that a message parked under this key came from; None when it is none of ours."""
    return _QUEUES.get(routing_key)


def told(body: bytes) -> Told:
    """What can be read of a body, however broken the rest is."""
    if len(body) > _LARGEST_READ:
        return Told()
    try:
        envelope = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told()
    payload = envelope.payload if isinstance(envelope.payload, dict) else {}
    return Told(
        event_id=_id(envelope.event_id),
        event_type=storable(envelope.event_type)[:LONGEST_REASON] if isinstance(envelope.event_type, str) else None,
        order_id=_id(payload.get("order_id")),
        user_id=_id(payload.get("user_id")),
    )


def readable(body: bytes, *, whole: bool) -> tuple[str, str]:
    """A body as text, and how to read that: `utf-8`, or `base64` when the bytes are none.

    Args:
        body: its bytes, or the first of them.
        whole: these are all; else a character may be cut at the end, which is left out.
    """
    try:
        return getincrementaldecoder("utf-8")().decode(body, final=whole), "utf-8"
    except UnicodeDecodeError:
        return b64encode(body).decode(), "base64"


def headers_as_json(headers: Mapping[str, Any]) -> bytes:
    """Headers as JSON that PostgreSQL takes. What JSON has no form for becomes an object with one `$` member."""
    return msgspec.json.encode({storable(name): _json(value, 0) for name, value in headers.items()})


def headers_to_replay(stored: bytes) -> dict[str, Any]:
    """The message's own headers, without what the consumer and the broker added on its way here."""
    found = {name: _value(value) for name, value in msgspec.json.decode(stored).items()}
    return {name: value for name, value in found.items() if not name.startswith(_OURS)}


def _id(value: Any) -> UUID | None:
    return identifier(value) if isinstance(value, str) else None


def storable(value: str) -> str:
    """A text without what PostgreSQL's texts cannot hold."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _json(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else {"$float": str(value)}
        case str():
            return storable(value)
        case bytes() | bytearray():
            return {"$base64": b64encode(value).decode()}
        case Decimal():
            return {"$decimal": str(value)}
        case datetime():
            return {"$instant": value.isoformat()}
        case list() if depth < _DEEPEST:
            return [_json(each, depth + 1) for each in value]
        case dict() if depth < _DEEPEST:
            return {storable(str(name)): _json(each, depth + 1) for name, each in value.items()}
        case _:
            return {"$other": type(value).__name__}


def _value(written: Any) -> Any:
    """What `_json` wrote, as it was; a stranger's own table that only looks like it stays a table."""
    try:
        return _restored(written)
    except (ValueError, ArithmeticError):
        return written


def _restored(written: Any) -> Any:
    match written:
        case list():
            return [_value(each) for each in written]
        case dict() if len(written) == 1 and next(iter(written)) in _RESTORE:
            [(name, text)] = written.items()
            return _RESTORE[name](text) if isinstance(text, str) else written
        case dict():
            return {name: _value(each) for name, each in written.items()}
        case _:
            return written


_RESTORE: Final[dict[str, Callable[[str], Any]]] = {
    "$base64": lambda text: bytearray(b64decode(text, validate=True)),
    "$decimal": Decimal,
    "$instant": datetime.fromisoformat,
    "$float": float,
}
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
