"""What a provider reports about a message that it took, or about somebody who must not be written to any more. Pure."""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from shopflow.notifications.notification import ChannelName


class State(StrEnum):
    """How far a message has come at the provider."""

    ACCEPTED = "accepted"
    DELAYED = "delayed"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    READ = "read"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


RANKS: Final = {
    State.ACCEPTED: 1,
    State.DELAYED: 2,
    State.SENT: 2,
    State.DELIVERED: 3,
    State.UNDELIVERED: 3,
    State.READ: 4,
    State.BOUNCED: 4,  # a mailbox may send back what its server had taken
    State.COMPLAINED: 5,
}
"""Reports come late, twice and in any order: only one of a higher rank than the last changes anything (P-15)."""


class Suppression(StrEnum):
    """Why nothing is sent to a recipient any more (D6)."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    STOP = "stop"


class Receipt(msgspec.Struct, frozen=True):
    """What became of one message.

    `notification_id` is the one that we gave along, where the provider says it; `suppress` is why its recipient must
    not be written to again, if so.
    """

    channel: ChannelName
    provider_ref: str
    notification_id: UUID | None
    state: State
    code: str | None = None
    suppress: Suppression | None = None


class OptedOut(msgspec.Struct, frozen=True):
    """The owner of this phone number wants no more SMS."""

    number: str


class OptedIn(msgspec.Struct, frozen=True):
    """The owner of this phone number wants SMS again."""

    number: str


Report = Receipt | OptedOut | OptedIn
