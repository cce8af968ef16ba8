"""The one JSON form of phones: E.164 and nothing else."""

import msgspec
import pytest

from shopflow.contracts.fields import Phone

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
