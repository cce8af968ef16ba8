"""Strict JSON as values of one type: one reader for request bodies, broker messages and neighbours' answers (B10).

What it refuses it names by field and rule, all of it at once, and never repeats the value. What a text may hold at all
is `kit.strict_json`'s business.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import inspect

from shopflow.kit.problems import FieldError, Problem, invalid
from shopflow.kit.strict_json import holds_nul, objection

T = TypeVar("T")

MOST_ERRORS: Final = 100
"""Broken rules told of one body: enough to mend it, and no answer larger than the request."""

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_BOUND = re.compile(r"Expected `(?P<what>str|array|object)` of length (?P<sign>[<>]=) (?P<bound>\d+)")
_RANGE = re.compile(r"Expected `(?:int|float|decimal)` (?P<sign>[<>]=?) (?P<bound>[-\d.]+)")
_TYPE = re.compile(r"Expected `(?P<wanted>[^`]+)`")
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_UNITS = {"str": "characters", "array": "entries", "object": "members"}
_NAMES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "uuid": "a UUID",
}


class Decoder(Generic[T]):
    """Reads JSON of one type; built once for each type.

    Args:
        type_: any type that msgspec decodes; Structs ignore unknown fields (R18).
        strict: refuse what two readers could understand differently. Not worth its price for our neighbours' answers,
            and not for a part of what was read strictly as a whole.
    """

    def __init__(self, type_: type[T], *, strict: bool = True) -> None:
        self.type = type_
        self.strict = strict
        self._decoder = msgspec.json.Decoder(type_)

    def decode(self, raw: bytes) -> T:
        """The value that `raw` holds.

        Raises:
            Problem: of kind invalid, `malformed-json` or `invalid-request`.
        """
        if holds_nul(raw):
            raise _malformed("holds a NUL character, which no field may contain")
        value = self._typed(raw)
        if self.strict and (why := objection(raw)):
            raise _malformed(why)
        return value

    def _typed(self, raw: bytes) -> T:
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise invalid(*self._errors(raw, error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(_why_malformed(error)) from None

    def _errors(self, raw: bytes, first: msgspec.ValidationError) -> list[FieldError]:
        """Every broken rule, not only the one msgspec stopped at: the slow pass, on bad input only."""
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError):  # a number beyond all types
                return [field_error(first)]
            raise _malformed(_why_malformed(error)) from None
        return list(islice(_broken(value, self.type, ""), MOST_ERRORS)) or [field_error(first)]


def convert(values: dict[str, Any], type_: type[T]) -> T:
    """Text values, such as those of a query string, as a Struct of `type_`.

    Raises:
        Problem: of kind invalid, naming every field that breaks a rule.
    """
    try:
        return msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as first:
        raise invalid(*(list(_broken(values, type_, "", strict=False)) or [field_error(first)])) from None


def field_error(error: msgspec.ValidationError) -> FieldError:
    """What msgspec refused, as field and rule without the value."""
    text = str(error)
    at = _AT.search(text)
    path = at["path"].removeprefix("$").removeprefix(".") if at else ""
    message = _AT.sub("", text)
    if missing := _MISSING.search(message):
        return FieldError(_join(path, missing["field"]), "is required")
    return FieldError(path or "body", rule(message))


def rule(message: str) -> str:
    """What a message of msgspec demands, in our words and without the value."""
    if bound := _BOUND.search(message):
        return f"must have {_SIGNS[bound['sign']]} {bound['bound']} {_UNITS[bound['what']]}"
    if limit := _RANGE.search(message):
        return f"must be {_SIGNS[limit['sign']]} {limit['bound']}"
    if "decimal string" in message:
        return "must be a number"
    if "matching regex" in message:
        return "has the wrong form"
    if message.startswith("Invalid enum value"):
        return "is not one of the allowed values"
    if "out of range" in message:
        return "is out of range"
    if wanted := _TYPE.search(message):
        names = [_NAMES.get(name.strip(), name.strip()) for name in wanted["wanted"].split("|")]
        return f"must be {' or '.join(names)}"
    return "is not valid"


def _broken(value: Any, type_: Any, path: str, *, strict: bool = True) -> Iterator[FieldError]:
    """Each broken rule below `path`: one conversion per field, so that one bad field hides no other."""
    if isinstance(value, dict) and isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        for field in msgspec.structs.fields(type_):
            where = _join(path, field.encode_name)
            if field.encode_name in value:
                yield from _broken(value[field.encode_name], field.type, where, strict=strict)
            elif field.required:
                yield FieldError(where, "is required")
        return
    described = inspect.type_info(type_)
    inner = described.type if isinstance(described, inspect.Metadata) else described
    if (
        isinstance(value, list)
        and isinstance(inner, inspect.ListType)
        and isinstance(inner.item_type, inspect.StructType)
    ):
        if inner.max_length is not None and len(value) > inner.max_length:
            yield FieldError(path, f"must have at most {inner.max_length} entries")
            return  # looking into each of them would cost the more, the more there are
        if inner.min_length is not None and len(value) < inner.min_length:
            yield FieldError(path, f"must have at least {inner.min_length} entries")
        for index, item in enumerate(value):
            if not _fits(item, inner.item_type.cls, strict=strict):  # looking at each field costs a hundred times more
                yield from _broken(item, inner.item_type.cls, f"{path}[{index}]", strict=strict)
        return
    yield from _refused(value, type_, path, strict=strict)


def _fits(value: Any, type_: Any, *, strict: bool) -> bool:
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _refused(value: Any, type_: Any, path: str, *, strict: bool) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        inner = field_error(error)
        below = "" if inner.field == "body" else inner.field
        yield FieldError(_join(path, below) or "body", inner.rule)


def _join(path: str, field: str) -> str:
    if not path or not field:
        return path or field
    return f"{path}{field}" if field.startswith("[") else f"{path}.{field}"


def _malformed(why: str) -> Problem:
    return invalid(FieldError("body", why), code="malformed-json", detail=f"The body {why}.")


def _why_malformed(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    found = re.search(r"\(byte (\d+)\)", str(error))
    return f"is not well-formed JSON (byte {found[1]})" if found else "is not well-formed JSON"
