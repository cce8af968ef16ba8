"""What a notification is, and how far its delivery has come. Pure."""

from enum import StrEnum
from uuid import UUID, uuid5

import msgspec


class ChannelName(StrEnum):
    """How a customer is reached."""

    EMAIL = "email"
    SMS = "sms"


class DeliveryStatus(StrEnum):
    """Where a notification stands (PRD 3.3)."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class Progress(StrEnum):
    """What one try to deliver one notification led to.

    SETTLED: sent, or failed for good: nothing is left to do. RETRY: a passing fault, which was counted. WAIT: the
    channel as a whole cannot be used now, this one is not due yet, or somebody else is sending it: try again,
    uncounted. EXHAUSTED: failed on the last retry, so that an operator should look at it.
    """

    SETTLED = "settled"
    RETRY = "retry"
    WAIT = "wait"
    EXHAUSTED = "exhausted"


class Standing(msgspec.Struct, frozen=True):
    """How far the delivery of one notification has come.

    `after` are the seconds until it is due again, where they are known; `retries` are those behind it that count.
    """

    progress: Progress
    after: float | None = None
    retries: int = 0


LONGEST_ERROR = 1000
LONGEST_REFERENCE = 255


def notification_id(event_id: UUID, channel: ChannelName) -> UUID:
    """The id that one event's notification on one channel always has: whoever handles the event again finds the row."""
    return uuid5(event_id, channel)


def error_message(code: str | None, reason: str) -> str:
    """What `error_message` says, cut on a character boundary (R62), without characters PostgreSQL refuses."""
    text = f"{code}: {reason}" if code else reason
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()[:LONGEST_ERROR]
