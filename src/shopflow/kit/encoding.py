"""JSON on the way out: one encoder for answers, events and JSONB, whose decimals are exact numbers (R33)."""

from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def encoded(value: Any) -> bytes:
    """A Struct, or anything else that msgspec knows, as JSON."""
    return _ENCODER.encode(value)
