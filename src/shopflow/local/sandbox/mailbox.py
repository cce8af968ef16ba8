"""What the sandbox's providers accepted, newest last, held in memory within fixed bounds.

It knows neither HTTP nor faults. Old messages lose their content first (the bulk) and are forgotten later.
"""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Literal, TypeVar

import msgspec

ChannelName = Literal["email", "sms"]
Entry = TypeVar("Entry")


class Content(msgspec.Struct, frozen=True):
    """The two renderings of one message; an SMS has no HTML, an e-mail may lack either."""

    text: str | None
    html: str | None


class Message(msgspec.Struct, frozen=True):
    """One accepted message; `id` is what the provider answered and so the notification's `provider_ref`."""

    id: str
    channel: ChannelName
    sender: str
    to: str
    subject: str | None
    tags: dict[str, str]
    segments: int
    received_at: str
    status: str = "accepted"


class Mailbox:
    """The newest `keep` messages, and the content of the newest `keep_content` of them."""

    def __init__(self, *, keep: int, keep_content: int = 2_000) -> None:
        self._keep = keep
        self._keep_content = keep_content
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._contents: OrderedDict[str, Content] = OrderedDict()
        self.version = 0
        self.accepted: dict[ChannelName, int] = {"email": 0, "sms": 0}

    def add(self, message: Message, content: Content) -> None:
        """Put a message in; what exceeds the bounds goes, oldest first."""
        self._messages[message.id] = message
        self._contents[message.id] = content
        self.accepted[message.channel] += 1
        self.version += 1
        _trim(self._messages, self._keep)
        _trim(self._contents, self._keep_content)

    def find(self, message_id: str) -> Message | None:
        """Return the message with this id, or nothing when there never was one or it has been forgotten."""
        return self._messages.get(message_id)

    def content(self, message_id: str) -> Content:
        """Return a message's content; both parts are None when it is too old to be kept."""
        return self._contents.get(message_id, Content(text=None, html=None))

    def mark(self, message: Message, status: str) -> None:
        """Record what became of a message after it was accepted."""
        self._messages[message.id] = msgspec.structs.replace(message, status=status)
        self.version += 1

    def newest(
        self, *, channel: ChannelName | None, to: str | None = None, containing: str = "", limit: int | None = None
    ) -> list[Message]:
        """List messages newest first; `to` is the exact recipient, `containing` any part of it."""
        return list(islice(self._matching(channel, to, containing.lower()), limit))

    def clear(self) -> None:
        """Forget everything, the counts too."""
        self._messages.clear()
        self._contents.clear()
        self.accepted = {"email": 0, "sms": 0}
        self.version += 1

    def _matching(self, channel: ChannelName | None, to: str | None, containing: str) -> Iterator[Message]:
        for message in reversed(self._messages.values()):
            if channel not in {None, message.channel} or to not in {None, message.to}:
                continue
            if containing in message.to.lower():
                yield message


def now_text() -> str:
    """Return the present instant as the API writes it: UTC, milliseconds, `Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trim(entries: OrderedDict[str, Entry], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
