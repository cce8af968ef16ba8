"""A notification's id and its error text."""

from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.notifications.notification import LONGEST_ERROR, ChannelName, error_message, notification_id

EVENT = UUID("d4e5f6a7-b8c9-0123-def0-123456789abc")


def test_an_events_notification_on_a_channel_always_has_the_same_id() -> None:
    assert notification_id(EVENT, ChannelName.EMAIL) == uuid5(EVENT, "email")


def test_channels_and_events_have_ids_of_their_own() -> None:
    ids = {notification_id(event, channel) for event in (EVENT, uuid4()) for channel in ChannelName}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [("21211", "Invalid number", "21211: Invalid number"), (None, "no answer", "no answer"), ("", "why", "why")],
)
def test_an_error_names_the_providers_code_first(code: str | None, reason: str, text: str) -> None:
    assert error_message(code, reason) == text


@given(st.text(st.characters()), st.text(st.characters(), max_size=3000))
def test_an_error_always_fits_its_column(code: str, reason: str) -> None:
    text = error_message(code, reason)
    assert len(text) <= LONGEST_ERROR
    assert "\x00" not in text
    text.encode()
