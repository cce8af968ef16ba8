"""Content headers that our AMQP library can decode, made of those that it cannot; bytes in, bytes out.

A time beyond all calendars, a name that is not UTF-8, tables within tables without end: the library takes any of them
for a broken connection. Only what stands in the way is taken out, and its bytes go along in a header of ours.
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, Final

from pamqp import decode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE: Final = "x-shopflow-unreadable"
"""On a message of which something was taken out: those bytes, in base64, at most the first 6 KiB of them."""

_MOST_KEPT: Final = 6 * 1024
_FIXED: Final = 12  # bytes: class, weight and the body's size; then two of flags, then the properties
_SIZES: Final = {
    **dict.fromkeys(b"V\x00", 0),
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"su", 2),
    **dict.fromkeys(b"Iif", 4),
    ord("D"): 5,
    **dict.fromkeys(b"lLdT", 8),
}
"""Of a table's values, by their type; those of all other types begin with their length."""


def legible(header: bytes) -> bytes:
    """The same content header where our library can decode it, else without what stands in the way.

    What is no content header at all stays as it is: no broker sends such a thing.
    """
    if _decodes(ContentHeader().unmarshal, header):
        return header
    try:
        return _repaired(header)
    except (struct.error, IndexError):
        return header


def _repaired(header: bytes) -> bytes:
    kept: dict[str, bytes] = {}
    entries, lost = b"", b""
    for name, raw in _properties(header):
        kind = Basic.Properties.amqp_type(name)
        if kind == "table":
            entries, unreadable = _sorted_out(raw[4:])
            lost += unreadable
        elif _decodes(decode.METHODS[kind], raw):
            kept[name] = raw
        else:
            lost += raw
    kept["headers"] = _long(entries + _entry(UNREADABLE, b64encode(lost[:_MOST_KEPT])))
    flags = sum(Basic.Properties.flags[name] for name in kept)
    properties = b"".join(kept[name] for name in Basic.Properties.__slots__ if name in kept)
    return header[:_FIXED] + struct.pack(">H", flags) + properties


def _properties(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Each property that is there, by its name, as it stands in the header."""
    (flags,) = struct.unpack_from(">H", header, _FIXED)
    at = _FIXED + 2
    for name in Basic.Properties.__slots__:
        if flags & Basic.Properties.flags[name]:
            end = at + _size(Basic.Properties.amqp_type(name), header, at)
            yield name, header[at:end]
            at = end


def _size(kind: str, header: bytes, at: int) -> int:
    match kind:
        case "shortstr":
            return 1 + header[at]
        case "table":
            return 4 + _length(header, at)
        case "timestamp":
            return 8
        case _:
            return 1


def _sorted_out(table: bytes) -> tuple[bytes, bytes]:
    """The entries of a table that can be decoded, and those that cannot."""
    readable: list[bytes] = []
    unreadable: list[bytes] = []
    at = 0
    while at < len(table):
        value = at + 1 + table[at]
        fixed = _SIZES.get(table[value])
        end = value + 1 + (4 + _length(table, value + 1) if fixed is None else fixed)
        entry = table[at:end]
        (readable if _decodes(decode.field_table, _long(entry)) else unreadable).append(entry)
        at = end
    return b"".join(readable), b"".join(unreadable)


def _decodes(read: Callable[[bytes], Any], raw: bytes) -> bool:
    try:
        read(raw)
    except Exception:  # noqa: BLE001 - a decoder fails in as many ways as there are values: overflow, recursion, text
        return False
    return True


def _length(data: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">I", data, at)
    return int(length)


def _long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _entry(name: str, text: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + b"S" + _long(text)
