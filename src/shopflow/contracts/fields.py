"""The one JSON form of money, instants, phones, e-mail addresses, ids, countries and currencies.

Every service reads and writes these through here. Nothing in here asks a clock, a network or a database.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from iso3166 import countries_by_alpha2
from iso4217 import Currency

MAX_AMOUNT: Final = Decimal("99999999.99")
"""The largest amount that DECIMAL(10, 2) holds (PRD 9.2)."""

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_END: Final = r"$(?!\n)"  # Python's $ alone also matches before a last newline


def _format(name: str) -> dict[str, Any]:
    """A format for readers of the schema; it is said twice, since Litestar looks for it under `extra`."""
    return {"format": name, "extra": {"format": name}}


Identifier = Annotated[str, msgspec.Meta(pattern=f"^{_ID.pattern}{_END}", extra_json_schema=_format("uuid"))]
"""A UUID as 8-4-4-4-12 hexadecimal digits, any case; version and variant bits are not looked at (R24)."""

Phone = Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{1,14}" + _END, max_length=16)]
"""E.164: a plus sign, then at most 15 digits of which the first is not zero."""

Timestamp = Annotated[str, msgspec.Meta(extra_json_schema=_format("date-time"))]
"""RFC 3339 in UTC with three digits of milliseconds and a Z, as the PRD's samples write it."""

CountryCode = Annotated[str, msgspec.Meta(extra_json_schema={"extra": {"enum": sorted(countries_by_alpha2)}})]
"""ISO 3166-1 alpha-2 in upper case; `is_country` judges it, so that all of a body's mistakes are told at once (R38)."""

CurrencyCode = Annotated[
    str, msgspec.Meta(extra_json_schema={"extra": {"enum": sorted(currency.code for currency in Currency)}})
]
"""ISO 4217 in upper case; `minor_units` judges it (R32)."""

_MINOR_UNITS: Final = {currency.code: currency.exponent for currency in Currency}


def identifier(text: str) -> UUID | None:
    """The UUID that a text names in its canonical form, or None for every other text (R24)."""
    return UUID(text) if _ID.fullmatch(text) else None


def timestamp(instant: datetime) -> str:
    """An instant as the contract writes it: UTC, truncated to milliseconds (R47)."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def timestamp_or_none(instant: datetime | None) -> str | None:
    """As `timestamp`; what has not happened yet is None."""
    return None if instant is None else timestamp(instant)


def instant(text: str) -> datetime:
    """The instant that a contract timestamp names, in UTC.

    Raises:
        ValueError: the text is not RFC 3339, has no offset, or is beyond the first or the last year.
    """
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("a timestamp needs an offset")
    try:
        return read.astimezone(UTC)
    except OverflowError:
        raise ValueError("no such instant in UTC") from None


def plain(amount: Decimal) -> Decimal:
    """The same amount in its shortest exact form without an exponent: 49.90 → 49.9, 1E+3 → 1000 (R33)."""
    reduced = amount.normalize()
    exponent = reduced.as_tuple().exponent
    return reduced.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else reduced


def is_country(code: str) -> bool:
    """Whether a code is an ISO 3166-1 alpha-2 country, upper case (R38)."""
    return code in countries_by_alpha2 and code.isupper()


def minor_units(currency: str) -> int | None:
    """How many decimals prices in an ISO 4217 currency have, at most the two the column holds (R71); None: unknown."""
    if currency not in _MINOR_UNITS:
        return None
    return min(_MINOR_UNITS[currency] or 0, 2)
