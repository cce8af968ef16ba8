"""What notification-service answers (PRD 4.3)."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from shopflow.contracts.fields import Identifier, Timestamp

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class NotificationSummary(msgspec.Struct, frozen=True):
    """One entry of `GET /notifications`."""

    id: str
    user_id: str
    order_id: str | None
    channel: str
    type: str
    recipient: str
    subject: str | None
    status: str
    sent_at: Timestamp | None
    created_at: Timestamp


class NotificationDetail(msgspec.Struct, frozen=True):
    """The answer of `GET /notifications/:id`."""

    id: str
    user_id: str
    order_id: str | None
    channel: str
    type: str
    recipient: str
    subject: str | None
    body: str
    status: str
    provider_ref: str | None
    error_message: str | None
    sent_at: Timestamp | None
    created_at: Timestamp


class Attempt(msgspec.Struct, frozen=True):
    """One attempt to deliver a notification, as its customer sees it.

    `outcome` is `accepted`, `adopted`, `rejected`, `failed`, `misconfigured`, `in_doubt`, `suppressed`, `late`, or
    `unfinished` while it runs and for good when its process died. `class` says what kind of trouble it was; null for
    what was sent. `receipt` is how far the message came, as its provider reported last; null without a report.
    """

    id: str
    at: Timestamp
    outcome: str
    class_: str | None = msgspec.field(name="class")
    receipt: str | None


class AttemptForAdmins(Attempt, frozen=True):
    """The same with what the provider said."""

    ended_at: Timestamp | None
    code: str | None
    provider_ref: str | None
    reason: str | None


def for_customers(attempts: Sequence[AttemptForAdmins]) -> list[Attempt]:
    """Attempts without what the provider said."""
    return [Attempt(each.id, each.at, each.outcome, each.class_, each.receipt) for each in attempts]


class Resend(msgspec.Struct, frozen=True):
    """The body of `POST /notifications/:id/resend`."""

    reason: Reason


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `GET /notifications/dead-letters`.

    `parked_at` is when this very message was parked last, `times` how often, `attempts` how often it was handled before
    that. `queue` is where it came from; null when that is none of ours. The ids are what its body says, null where that
    cannot be read.
    """

    id: str
    parked_at: Timestamp
    state: str
    reason: str
    attempts: int
    times: int
    queue: str | None
    routing_key: str
    message_id: str
    event_id: str | None
    event_type: str | None
    order_id: str | None
    user_id: str | None
    size: int


class DeadLetterAction(msgspec.Struct, frozen=True):
    """What somebody did about a parked message. `confirmed_at`: when the broker had it, of a replay."""

    at: Timestamp
    action: str
    actor: str
    reason: str | None
    confirmed_at: Timestamp | None


class DeadLetterDetail(DeadLetter, frozen=True, kw_only=True):
    """The answer of `GET /notifications/dead-letters/:id`.

    `body` is text as `encoding` says: `utf-8`, or `base64` when the bytes are none. At most the first 64 KiB are shown;
    `truncated` says that there are more. Headers for which JSON has no form are objects with one member such as
    `$base64`.
    """

    headers: dict[str, Any]
    body: str
    encoding: str
    truncated: bool
    actions: list[DeadLetterAction]


class ActOnDeadLetter(msgspec.Struct, frozen=True):
    """The body of replaying or discarding one parked message."""

    reason: Reason | None = None


class DeadLetterFilter(msgspec.Struct, frozen=True):
    """Which open messages are meant; what is left out narrows nothing."""

    reason: str | None = None
    event_type: str | None = None
    order_id: Identifier | None = None
    parked_from: Timestamp | None = None
    parked_to: Timestamp | None = None


class ReplayDeadLetters(msgspec.Struct, frozen=True):
    """The body of `POST /notifications/dead-letters/replay`."""

    filter: DeadLetterFilter
    dry_run: bool = False
    reason: Reason | None = None


class DeadLetterPreview(msgspec.Struct, frozen=True):
    """What a replay would send. `channels` null: the event was never handled, so it sends whatever it leads to."""

    id: str
    event_id: str | None
    order_id: str | None
    reason: str
    channels: list[str] | None


class ReplayedDeadLetters(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many messages matched, how many of them went back to their queues; with `dry_run` what would be sent."""

    matched: int
    replayed: int
    would_send: list[DeadLetterPreview] | None = None
