"""Where somebody signs in from: what a program says of itself is cut, and shown without what nobody sees."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shopflow.auth.device import Device, device


def seen(*agents: bytes) -> Device:
    return device(
        {"client": ("192.0.2.7", 1), "headers": [(b"accept", b"x"), *((b"user-agent", each) for each in agents)]}
    )


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"curl/8.5.0", "curl/8.5.0"),
        (b"a\tb\x00c\x1b[31md\x7f", "abc[31md"),
        ("Zoë's".encode(), "Zoë's"),
        ("a\u2028b\u202ec".encode(), "abc"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x00", None),
        (b"", None),
    ],
)
def test_a_program_is_shown_without_what_nobody_sees(sent: bytes, shown: str | None) -> None:
    assert seen(sent) == Device("192.0.2.7", shown)


def test_without_a_program_none_is_shown_and_of_two_the_first_counts() -> None:
    assert seen().user_agent is None
    assert seen(b"one", b"two").user_agent == "one"


@given(some.binary(max_size=2000))
def test_whatever_is_sent_fits_its_column(sent: bytes) -> None:
    shown = seen(sent).user_agent
    assert shown is None or (0 < len(shown) <= 255 and "\x00" not in shown and "\n" not in shown)
