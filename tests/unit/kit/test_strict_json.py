"""What is no strict JSON: a corpus in the manner of JSONTestSuite, written for ShopFlow, and what Hypothesis makes."""

import json
from time import process_time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.decoding import Decoder
from shopflow.kit.problems import Problem
from shopflow.kit.strict_json import DEEPEST, LONGEST_NUMBER, MOST_VALUES, objection


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]", inside: bytes = b"") -> bytes:
    """So many arrays in one another, or whatever else opens and closes."""
    return opening * levels + inside + closing * levels


ACCEPTED: dict[str, bytes] = {
    "an empty array": b"[]",
    "an empty object": b"{}",
    "white space of all four kinds": b" \t\r\n[ \t\r\n1 \t\r\n, 2 ] \t\r\n",
    "a lone string": b'"x"',
    "a lone number": b"-0",
    "true, false and null": b"[true,false,null]",
    "every escape": b'["\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"]',
    "a whole surrogate pair": b'["\\ud83d\\ude00", "\\uD83D\\uDE00"]',
    "escaped backslashes before what looks like an escape": b'["\\\\u0000", "\\\\\\\\u0000", "\\\\ud800"]',
    "DEL, U+2028, a non-character": '["\x7f\u2028\uffff"]'.encode(),
    "the last code point": '["\U0010ffff"]'.encode(),
    "a byte-order mark inside a string": '["\ufeff"]'.encode(),
    "numbers of every form": b"[0,-1,1.5,1e3,1E+3,1e-3,-0.0,123456789012345678901234567890]",
    "a number with an exponent beyond all": b"[1e99999999]",
    "the longest number": b"[" + b"9" * LONGEST_NUMBER + b"]",
    "an empty name": b'{"":1}',
    "names that differ in case": b'{"a":1,"A":2}',
    "names that differ in their normal form only": '{"\u00e9":1,"e\u0301":2}'.encode(),
    "the same name in two objects": b'{"a":{"a":1},"b":{"a":1}}',
    "the deepest arrays": nested(DEEPEST),
    "the deepest objects": nested(DEEPEST - 1, b'{"a":', b"}", b"{}"),
    "many side by side": b"[" + b"[],{}," * 500 + b"1]",
    "as many values as may be": b"[" + b"1," * (MOST_VALUES - 1) + b"1]",
    "commas in strings": b'["' + b",[{" * MOST_VALUES + b'"]',
    "brackets in strings": b'["' + b"[{" * 100 + b'"]',
    "escaped quotes before brackets": b'["\\"' + b"[" * 100 + b'\\"","\\\\"]',
}

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" ",
    "an array that does not end": b"[1",
    "an array that does not begin": b"1]",
    "an array that ends as an object": b"[1}",
    "a comma too many": b"[1,]",
    "only a comma": b"[,]",
    "two commas": b"[1,,2]",
    "no comma": b"[1 2]",
    "an object with a comma too many": b'{"a":1,}',
    "an object without a value": b'{"a":}',
    "an object without a name": b"{:1}",
    "an object with a number as name": b"{1:1}",
    "a name without quotes": b"{a:1}",
    "a name in single quotes": b"{'a':1}",
    "two colons": b'{"a"::1}',
    "a comma for a colon": b'{"a",1}',
    "a line comment": b"// x\n[]",
    "a comment inside": b"[1/*,2*/]",
    "two texts": b"{}{}",
    "two texts on two lines": b"{}\n{}",
    "something after the text": b"[]x",
    "a NUL after the text": b"[]\x00",
    "a byte-order mark": b"\xef\xbb\xbf[]",
    "UTF-16 with a mark": "[]".encode("utf-16"),
    "UTF-16 without a mark": "[]".encode("utf-16-le"),
    "UTF-32": "[]".encode("utf-32"),
    "Latin-1": '["é"]'.encode("latin-1"),
    "a byte that begins nothing": b'["\xff"]',
    "a sequence that is cut off": b'["\xe2\x82"]',
    "an overlong slash": b'["\xc0\xaf"]',
    "an overlong NUL": b'["\xc0\x80"]',
    "a surrogate in UTF-8": b'["\xed\xa0\x80"]',
    "beyond Unicode": b'["\xf4\x90\x80\x80"]',
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "nan": b"[nan]",
    "a plus": b"[+1]",
    "a leading zero": b"[01]",
    "a leading zero behind a minus": b"[-01]",
    "a point at the end": b"[1.]",
    "a point at the beginning": b"[.5]",
    "only a minus": b"[-]",
    "an exponent without digits": b"[1e]",
    "a hexadecimal number": b"[0x1]",
    "an underscore in a number": b"[1_0]",
    "full-width digits": "[\uff11]".encode(),
    "a number with too many digits": b"[" + b"9" * (LONGEST_NUMBER + 1) + b"]",
    "a number with too many decimals": b"[0." + b"1" * LONGEST_NUMBER + b"]",
    "a number that would take minutes to read": b"[" + b"9" * 900_000 + b"]",
    "True": b"[True]",
    "None": b"[None]",
    "undefined": b"[undefined]",
    "a string that does not end": b'["x]',
    "a string that ends in a backslash": b'["x\\',
    "single quotes": b"['x']",
    "an unknown escape": b'["\\x41"]',
    "an escape of too few digits": b'["\\u00e"]',
    "an escape with a capital U": b'["\\U0041"]',
    "a raw line end in a string": b'["a\nb"]',
    "a raw tab in a string": b'["a\tb"]',
    "a raw NUL in a string": b'["\x00"]',
    "an escaped NUL": b'["\\u0000"]',
    "an escaped NUL behind a backslash": b'["\\\\\\u0000"]',
    "an escaped NUL in a name": b'{"a\\u0000b":1}',
    "a high half": b'["\\ud800"]',
    "a low half": b'["\\udc00"]',
    "the halves in the wrong order": b'["\\ude00\\ud83d"]',
    "two high halves": b'["\\ud83d\\ud83d\\ude00"]',
    "a half in a name": b'{"\\uDFFF":1}',
    "a half behind an escaped backslash": b'["\\\\\\ud800"]',
    "a name twice": b'{"a":1,"a":1}',
    "a name twice, spelled differently": b'{"a":1,"\\u0061":2}',
    "an empty name twice": b'{"":1,"":2}',
    "a name twice further in": b'[{"a":[{"b":{"c":1,"d":2,"c":3}}]}]',
    "a level too deep": nested(DEEPEST + 1),
    "a level too deep in objects": nested(DEEPEST, b'{"a":', b"}", b"{}"),
    "a level too deep in both": nested(DEEPEST // 2, b'[{"a":', b"}]", b"[]"),
    "deep behind strings with brackets": b'["]]]]",' * DEEPEST + nested(DEEPEST) + b"]" * DEEPEST,
    "a value too many": b"[" + b"1," * MOST_VALUES + b"1]",
    "a value too many in objects": b"[" + b"{}," * (MOST_VALUES // 2) + b"{}]",
    "a hundred thousand levels": nested(100_000),
    "a hundred thousand levels that never end": b"[" * 100_000,
    "a hundred thousand objects that never end": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_strict_json_is_accepted(name: str) -> None:
    assert objection(ACCEPTED[name]) is None


@pytest.mark.row("H-5", "H-6", "O-13")
@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused_with_a_reason(name: str) -> None:
    assert objection(REFUSED[name])


class Anything(msgspec.Struct):
    known: int = 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_reads_is_read_as_strictly(name: str) -> None:
    with pytest.raises(Problem) as caught:
        Decoder(Anything).decode(b'{"known":1,"unknown":{"more":' + REFUSED[name] + b"}}")
    assert caught.value.code == "malformed-json"


def test_reasons_name_the_rule_and_never_repeat_the_value() -> None:
    reasons = {
        "a name twice": "names a member of an object twice",
        "NaN": "holds NaN or an infinity, which JSON does not know",
        "a high half": "holds one half of a surrogate pair, which is no character",
        "an escaped NUL in a name": "holds a NUL character, which no field may contain",
        "a level too deep": "is nested more than 32 levels deep",
        "a value too many": "holds more than 20000 values",
        "a number with too many digits": "holds a number of more than 100 characters",
        "Latin-1": "is not UTF-8",
        "a comma too many": "is not well-formed JSON (byte 3)",
    }
    assert {name: objection(REFUSED[name]) for name in reasons} == reasons


def test_the_place_is_counted_in_bytes() -> None:
    assert objection('["😀",]'.encode()) == "is not well-formed JSON (byte 8)"


@pytest.mark.parametrize("raw", [b'"\\"' * 250_000, b"[" + b'"\\",' * 200_000, b"[" * 500_000])
def test_a_text_without_an_end_is_looked_at_once(raw: bytes) -> None:
    started = process_time()
    assert objection(raw)
    assert process_time() - started < 2


def test_neighbours_answers_are_read_without_the_second_look() -> None:
    assert Decoder(Anything, strict=False).decode(b'{"known":1,"known":2}').known == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**50), 10**50) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner
    ),
)  # fmt: skip


@given(VALUES, st.booleans())
def test_whatever_two_writers_write_is_accepted(value: Any, ascii_only: bool) -> None:
    assert objection(json.dumps(value, ensure_ascii=ascii_only).encode()) is None
    assert objection(json.dumps(value, ensure_ascii=ascii_only, indent=1).encode()) is None


@given(st.binary(max_size=100) | st.text(alphabet='[]{}",:\\u0d8aeE+-.1 ', max_size=60).map(str.encode))
def test_whatever_is_accepted_two_other_readers_read_alike(raw: bytes) -> None:
    if objection(raw) is None:
        assert json.loads(raw.decode(), parse_float=float) == _read_by_msgspec(raw)


def _read_by_msgspec(raw: bytes) -> Any:
    return msgspec.json.decode(raw)
