"""Idempotency keys: which texts are keys, and which bodies mean the same."""

import json
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.problems import Kind, Problem
from shopflow.kit.strict_json import objection
from shopflow.orders.idempotency import fingerprint, key

BODY = b'{"items":[{"unit_price":49.90,"quantity":2}],"notes":"x","state":null,"gift":true}'

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)
ascii_only = st.characters(max_codepoint=127)
numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?", fullmatch=True, alphabet=ascii_only
)
endless = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,30})?", fullmatch=True, alphabet=ascii_only
)


@pytest.mark.parametrize("text", ["k", " ", "~", '"quoted"', "a" * 255, "with space, and; signs"])
def test_one_to_255_printable_characters_are_a_key(text: str) -> None:
    assert key([text], BODY).text == text


@pytest.mark.row("O-1")
@pytest.mark.parametrize(
    "lines",
    [
        [""],
        ["a" * 256],
        ["\u00e9"],
        ["\u00ff"],
        ["a\tb"],
        ["a\x7f"],
        ["a\nb"],
        ["\0"],
        ["a\n"],
        ["a", "a"],
        ["a", "b"],
        [],
    ],
)
def test_every_other_text_and_two_at_once_are_refused(lines: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        key(lines, BODY)
    assert caught.value.kind is Kind.INVALID
    assert [error.field for error in caught.value.errors] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "same",
    [
        b' { "notes" : "x",\n"gift":true,"state":null,"items":[{"quantity":2,"unit_price":49.9}]}\r\n',
        b'{"items":[{"unit_price":4.99e1,"quantity":20E-1}],"notes":"\\u0078","state":null,"gift":true}',
        b'{"items":[{"unit_price":0049.900,"quantity":2}],"notes":"x","state":null,"gift":true}'.replace(b"00", b"", 1),
    ],
)
def test_order_white_space_and_spelling_do_not_make_another_body(same: bytes) -> None:
    assert fingerprint(same) == fingerprint(BODY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"49.90", b"49.91"),
        (b"49.90", b"-49.90"),
        (b"49.90", b"4990"),
        (b"49.90", b'"49.90"'),
        (b"49.90", b'"49.9"'),
        (b"2}", b"2.0000000001}"),
        (b"2}", b"20}"),
        (b'"x"', b'"X"'),
        (b'"x"', b'"x "'),
        (b'"x"', b"null"),
        (b"null", b'"null"'),
        (b"null", b"false"),
        (b"null", b"0"),
        (b"true", b"1"),
        (b"true", b'"true"'),
        (b',"state":null', b""),
        (b'"gift":true', b'"gift":true,"unread":1'),
        (b"]", b",{}]"),
    ],
)
def test_every_value_makes_another_body(old: bytes, new: bytes) -> None:
    assert fingerprint(BODY.replace(old, new, 1)) != fingerprint(BODY)


@given(values, st.randoms(use_true_random=False))
def test_two_writers_of_one_value_agree(value: Any, random: Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(inner)) for name, inner in value.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    other = json.dumps(shuffled(value), ensure_ascii=False, indent=1).encode()
    assert fingerprint(json.dumps(value).encode()) == fingerprint(other)


def exact(value: Any) -> Any:
    """A value in which equal means equal: Python takes True for 1."""
    match value:
        case dict():
            return {name: exact(inner) for name, inner in value.items()}
        case list():
            return [exact(inner) for inner in value]
        case _:
            return (type(value), value)


@given(values, values)
def test_two_values_share_a_fingerprint_only_when_they_are_equal(one: Any, other: Any) -> None:
    equal = fingerprint(json.dumps(one).encode()) == fingerprint(json.dumps(other).encode())
    assert equal == (exact(one) == exact(other))


@given(numbers, numbers)
def test_numbers_share_a_fingerprint_exactly_when_they_are_the_same_number(one: str, other: str) -> None:
    assert (fingerprint(one.encode()) == fingerprint(other.encode())) == (Fraction(one) == Fraction(other))


@given(endless)
def test_no_number_of_a_strict_body_is_beyond_a_fingerprint(number: str) -> None:
    assert objection(number.encode()) is None
    assert len(fingerprint(number.encode())) == 32
