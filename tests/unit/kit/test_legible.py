"""Headers that our AMQP library cannot decode: only what stands in the way is taken out."""

import struct
from base64 import b64decode

import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from shopflow.kit.rabbitmq.legible import UNREADABLE, legible

NEVER = b"T" + struct.pack(">Q", 2**63)
TOO_DEEP = b"F\x00\x00\x00\x00"
for _ in range(2000):
    TOO_DEEP = b"F" + struct.pack(">I", len(TOO_DEEP) + 2) + b"\x01k" + TOO_DEEP


def entry(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + value


def header(*entries: bytes, flags: int = 0, before: bytes = b"", after: bytes = b"") -> bytes:
    table = b"".join(entries)
    properties = before + struct.pack(">I", len(table)) + table + after
    return struct.pack(">HHQH", 60, 0, 5, flags | Basic.Properties.flags["headers"]) + properties


def read(raw: bytes) -> ContentHeader:
    found = ContentHeader()
    found.unmarshal(raw)
    return found


def test_a_header_that_can_be_decoded_stays_byte_for_byte() -> None:
    raw = header(entry(b"a", b"I\x00\x00\x00\x01"))
    assert legible(raw) is raw


@pytest.mark.parametrize(
    "bad",
    [
        entry(b"at", NEVER),
        entry(b"\xff\xfe", b"t\x01"),
        entry(b"deep", TOO_DEEP),
        entry(b"list", b"A" + struct.pack(">I", len(NEVER)) + NEVER),
    ],
)
def test_what_cannot_be_decoded_is_taken_out_and_shown_and_the_rest_stays(bad: bytes) -> None:
    good = (entry(b"x-shopflow-attempt", b"I\x00\x00\x00\x02"), entry(b"origin", b"S\x00\x00\x00\x02me"))
    found = read(legible(header(good[0], bad, good[1])))
    headers = found.properties.headers
    assert headers is not None
    assert {name: value for name, value in headers.items() if name != UNREADABLE} == {
        "x-shopflow-attempt": 2,
        "origin": "me",
    }
    assert bad.startswith(b64decode(str(headers[UNREADABLE])))
    assert found.body_size == 5


def test_a_property_that_cannot_be_decoded_goes_alone() -> None:
    flags = Basic.Properties.flags["content_type"] | Basic.Properties.flags["message_id"]
    found = read(legible(header(flags=flags, before=b"\x02\xff\xfe", after=b"\x02id"))).properties
    assert (found.content_type or "", found.message_id) == ("", "id")
    assert found.headers is not None
    assert b64decode(str(found.headers[UNREADABLE])) == b"\x02\xff\xfe"


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00" * 11, struct.pack(">HHQH", 60, 0, 0, 0xFFFE), header(entry(b"a", NEVER))[:10]],
)
def test_what_is_no_content_header_stays_as_it_is(raw: bytes) -> None:
    assert legible(raw) is raw
