"""The one JSON form of phones: E.164 and nothing else; and which texts are instants."""

from datetime import UTC, datetime

import msgspec
import pytest

from shopflow.contracts.fields import Phone, instant

READ = msgspec.json.Decoder(Phone)


@pytest.mark.row("M-6")
@pytest.mark.parametrize("text", ["+15551234567", "+49301234567", "+12", "+123456789012345"])
def test_a_phone_number_is_e164(text: str) -> None:
    assert READ.decode(msgspec.json.encode(text)) == text


@pytest.mark.row("M-6")
@pytest.mark.parametrize(
    "text",
    [
        "15551234567",
        "+1234567890123456",
        "+05551234567",
        "+1 555 123 4567",
        " +15551234567",
        "+15551234567 ",
        "+15551234567\n",
        "+\uff11\uff15\uff15\uff15\uff11\uff12\uff13",
        "+1555\u0663\u0663\u0663",
        "+1-555-123-4567",
        "+1(555)1234567",
        "tel:+15551234567",
        "001555123456",
        "+",
        "+1",
        "",
        "+1555123456x",
        "+1555\x00234567",
    ],
)
def test_what_is_no_phone_number_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        READ.decode(msgspec.json.encode(text))


def test_an_instant_is_read_from_any_offset() -> None:
    assert instant("2026-02-17T12:30:00.5+02:00") == datetime(2026, 2, 17, 10, 30, 0, 500_000, UTC)
    assert instant("2026-02-17T12:30:00+02:00").utcoffset() == UTC.utcoffset(None)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-02-17", "2026-02-17T10:30:00", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"]
)
def test_what_is_no_instant_of_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(text)
