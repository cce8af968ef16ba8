"""What SES publishes about an e-mail through its topic, as receipts. Only what changes something is understood."""

from typing import Final
from uuid import UUID

import msgspec

from shopflow.contracts.fields import identifier
from shopflow.notifications.channels.ses import TAG
from shopflow.notifications.notification import LONGEST_REFERENCE, ChannelName, error_message
from shopflow.notifications.receipt import Receipt, State, Suppression

_STATES: Final = {
    "Send": State.ACCEPTED,
    "DeliveryDelay": State.DELAYED,
    "Delivery": State.DELIVERED,
    "Reject": State.UNDELIVERED,
    "Bounce": State.BOUNCED,
    "Complaint": State.COMPLAINED,
}


class Mail(msgspec.Struct, frozen=True, rename="camel"):
    """Which e-mail an event is about."""

    message_id: str
    tags: dict[str, list[str]] = msgspec.field(default_factory=dict)


class Bounce(msgspec.Struct, frozen=True, rename="camel"):
    """How an e-mail came back."""

    bounce_type: str = ""
    bounce_sub_type: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an event that is used."""

    mail: Mail
    event_type: str = ""
    bounce: Bounce | None = None


def receipt(message: str) -> Receipt | None:
    """What an event says; None for those that say nothing about where an e-mail is, or are none."""
    try:
        event = msgspec.json.decode(message, type=Event)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    state = _STATES.get(event.event_type)
    reference = event.mail.message_id
    if state is None or not (reference.isprintable() and 0 < len(reference) <= LONGEST_REFERENCE):
        return None
    return Receipt(
        channel=ChannelName.EMAIL,
        provider_ref=reference,
        notification_id=_notification(event.mail),
        state=state,
        code=_code(event.bounce),
        suppress=_suppression(state, event.bounce),
    )


def _notification(mail: Mail) -> UUID | None:
    given = mail.tags.get(TAG, [])
    return identifier(given[0]) if given else None


def _code(bounce: Bounce | None) -> str | None:
    return None if bounce is None else error_message(None, f"{bounce.bounce_type}/{bounce.bounce_sub_type}"[:100])


def _suppression(state: State, bounce: Bounce | None) -> Suppression | None:
    """Only what will come back for ever is reason enough: a full mailbox is not."""
    if state is State.COMPLAINED:
        return Suppression.COMPLAINT
    hard = state is State.BOUNCED and bounce is not None and bounce.bounce_type == "Permanent"
    return Suppression.BOUNCE if hard else None
