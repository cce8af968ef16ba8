"""How a message leaves the house: one protocol for all channels, and the closed set of what can come of a send.

A channel makes exactly one request a send and says what its answer means; whether and when to try again is decided
elsewhere.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

CONNECT_SECONDS = 2
READ_SECONDS = 5
ATTEMPT_SECONDS = 8
"""Seconds of one request to a provider: until it is connected, without a byte, and in all."""

CONNECTIONS = 50

BAD_REQUESTS = range(400, 500)
NOT_ALLOWED = frozenset({401, 403})
TOO_MANY = 429

LONGEST_REASON = 500
LONGEST_PAUSE = 3600.0


class Outgoing(msgspec.Struct, frozen=True):
    """One message for one recipient: an e-mail address, or a phone number in E.164 form.

    `text` is all of an SMS and the plain part of an e-mail; `subject` and `html` are an e-mail's.
    """

    notification_id: UUID
    to: str
    text: str
    subject: str | None = None
    html: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The provider took the message and gave it this reference; nothing else counts as sent."""

    provider_ref: str


class Rejection(StrEnum):
    """What the provider will never accept: this recipient, or this content."""

    RECIPIENT = "recipient"
    CONTENT = "content"


class Rejected(msgspec.Struct, frozen=True):
    """The provider refused for good: trying again cannot help."""

    kind: Rejection
    code: str
    reason: str


class Failed(msgspec.Struct, frozen=True):
    """The message was certainly not accepted and may be later.

    `throttled` says that nothing is wrong with this message: the provider wants fewer of all (D8). `retry_after` are
    the seconds it asked for, where it did.
    """

    code: str
    reason: str
    throttled: bool = False
    retry_after: float | None = None


class Misconfigured(msgspec.Struct, frozen=True):
    """Our own account, credentials or sender are refused: no message can pass until somebody puts that right (D2)."""

    code: str
    reason: str


class InDoubt(msgspec.Struct, frozen=True):
    """Nobody knows whether the message was accepted (D4): the answer was lost, or was none that the provider gives."""

    reason: str


class Adopted(msgspec.Struct, frozen=True):
    """The provider lists a message that an attempt in doubt must have made: it was accepted after all (D4)."""

    provider_ref: str


Outcome = Accepted | Rejected | Failed | Misconfigured | InDoubt

Sighting = Adopted | Failed | Misconfigured | None
"""What the provider knows of an attempt in doubt: None when there is no message of it, and sending again is right."""


class Channel(Protocol):
    """A way to reach customers."""

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Make one attempt with one request; provider trouble is an outcome, never an exception."""
        ...

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Sighting:
        """Look for the message of an earlier attempt, begun at `since`, of which nobody knows the end."""
        ...


def reason(text: str) -> str:
    """Bring a provider's words to one line of bounded length."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST_REASON].strip()


def pause(retry_after: str | None, *, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or a date; None when there is none to be understood. At most an hour."""
    if retry_after is None:
        return None
    try:
        if retry_after.isascii() and retry_after.isdecimal():
            seconds = float(retry_after[:9])
        else:
            seconds = (parsedate_to_datetime(retry_after).astimezone(UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)
