"""Strict JSON: what is refused, and how it is told."""

import sys
from decimal import Decimal
from enum import StrEnum
from types import FrameType
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.decoding import Decoder
from shopflow.kit.problems import Kind, Problem


class Colour(StrEnum):
    RED = "red"


class Part(msgspec.Struct):
    size: Annotated[int, msgspec.Meta(ge=1, le=9)]
    label: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "a"


class Thing(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3)]
    parts: Annotated[list[Part], msgspec.Meta(min_length=1, max_length=2)]
    colour: Colour = Colour.RED
    price: Decimal = Decimal(1)
    note: str | None = None


DECODER = Decoder(Thing)


def refused(raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        DECODER.decode(raw)
    assert caught.value.kind is Kind.INVALID
    return caught.value


def rules(raw: bytes) -> dict[str, str]:
    return {error.field: error.rule for error in refused(raw).errors}


def test_every_broken_rule_of_a_body_is_told_at_once() -> None:
    raw = b'{"name":"long","parts":[{"size":0,"label":"A"},{}],"colour":"secret","price":"x","note":7}'
    assert rules(raw) == {
        "name": "must have at most 3 characters",
        "parts[0].size": "must be at least 1",
        "parts[0].label": "has the wrong form",
        "parts[1].size": "is required",
        "colour": "is not one of the allowed values",
        "price": "must be a number",
        "note": "must be a string or null",
    }


def test_missing_fields_are_named() -> None:
    assert rules(b"{}") == {"name": "is required", "parts": "is required"}


def test_a_body_of_another_kind_names_the_body() -> None:
    assert rules(b"[]") == {"body": "must be an object"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"name":}', b"\xef\xbb\xbf{}", b"\xff\xfe", b'{"name":"\\ud800"}', b'{"name":"\\u0000"}',
     b'{"name":"\\\\\\u0000"}', b"[" * 100_000, b"{} {}", b'{"price":NaN}', b"{'a':1}", b"{/**/}", b"{,}"],
)  # fmt: skip
def test_what_is_no_strict_json_is_malformed(raw: bytes) -> None:
    assert refused(raw).code == "malformed-json"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert DECODER.decode(b'{"name":"x","parts":[{"size":1}],"note":"\\\\u0000"}').note == "\\u0000"


def test_unknown_fields_are_ignored() -> None:
    assert DECODER.decode(b'{"name":"x","parts":[{"size":1,"role":"admin"}],"id":1}').name == "x"


def test_numbers_beyond_all_types_are_refused_without_a_crash() -> None:
    for number in (b"1" * 5000, b"1e999999999", b"-1e400"):
        refused(b'{"name":"x","parts":[{"size":' + number + b"}]}")


def test_a_list_that_is_too_long_is_told_without_looking_into_it() -> None:
    assert rules(b'{"name":"x","parts":[' + b",".join([b"{}"] * 5000) + b"]}") == {
        "parts": "must have at most 2 entries"
    }


class Crate(msgspec.Struct):
    parts: list[Part]


def test_entries_that_are_right_cost_next_to_nothing_when_one_is_wrong() -> None:
    raw = b'{"parts":[' + b'{"size":1},' * 1000 + b'{"size":0}]}'
    calls = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(counted)
    try:
        with pytest.raises(Problem) as caught:
            Decoder(Crate).decode(raw)
    finally:
        sys.setprofile(None)
    assert [error.field for error in caught.value.errors] == ["parts[1000].size"]
    assert calls < 5000


FIELDS = st.sampled_from(["name", "parts", "colour", "price", "note", "size"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner),
)


def outcome(raw: bytes) -> Thing | Problem:
    try:
        return DECODER.decode(raw)
    except Problem as problem:
        return problem


@given(VALUES.map(msgspec.json.encode) | st.binary())
def test_anything_is_read_or_refused_with_a_field_and_a_rule(raw: bytes) -> None:
    found = outcome(raw)
    if isinstance(found, Problem):
        assert found.kind is Kind.INVALID
        assert found.errors
        assert all(error.field and error.rule for error in found.errors)


@given(st.text(min_size=9, alphabet="xyz"))
def test_a_refusal_never_repeats_what_was_sent(secret: str) -> None:
    raw = msgspec.json.encode({"name": secret, "parts": [{"size": secret}], "colour": secret, "price": secret})
    problem = refused(raw)
    assert secret not in str(problem)
    assert all(secret not in f"{error.field}{error.rule}" for error in problem.errors)
