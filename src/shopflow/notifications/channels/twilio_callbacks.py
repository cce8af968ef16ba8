"""What Twilio posts to us: whether it is Twilio's, what became of an SMS, and who wants no more of them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from shopflow.contracts.fields import identifier
from shopflow.notifications.channels.sns import not_verified
from shopflow.notifications.notification import LONGEST_REFERENCE, ChannelName
from shopflow.notifications.receipt import OptedIn, OptedOut, Receipt, Report, State, Suppression

LARGEST: Final = 64 * 1024
"""Bytes of the largest body that Twilio posts."""

NOTIFICATION: Final = "notification"
"""The parameter of the address given to Twilio that says which notification an SMS is."""

_STATES: Final = {
    "accepted": State.ACCEPTED,
    "scheduled": State.ACCEPTED,
    "queued": State.ACCEPTED,
    "sending": State.ACCEPTED,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
    "canceled": State.UNDELIVERED,
    "read": State.READ,
}
_NOBODY_THERE: Final = frozenset({"30005", "30006"})  # no such handset; a landline
_STOP: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
_START: Final = frozenset({"START", "YES", "UNSTOP"})
_MOST_FIELDS: Final = 200


def verified(url: str, body: bytes, signature: str, *, auth_token: str) -> Mapping[str, str]:
    """Reads a form that claims to come from Twilio; of a repeated parameter the last value.

    Args:
        url: the address as Twilio called it, with its query.
        body: the form.
        signature: the header `X-Twilio-Signature`.
        auth_token: the account's, with which Twilio signs.

    Raises:
        Problem: of kind forbidden, unless it comes from Twilio.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise not_verified() from None
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    digest = hmac.digest(auth_token.encode(), signed.encode(errors="surrogatepass"), hashlib.sha1)
    if not hmac.compare_digest(base64.b64encode(digest), signature.encode(errors="replace")):
        raise not_verified()
    return dict(pairs)


def report(form: Mapping[str, str], *, notification: str | None, our_number: str) -> Report | None:
    """What a form says; None when it says nothing of use.

    Args:
        form: as verified.
        notification: which notification it is about, as the address says.
        our_number: whom customers write to.
    """
    if "\0" in "".join(form.values()):
        return None
    if form.get("MessageStatus"):
        return _receipt(form, None if notification is None else identifier(notification))
    if form.get("To") != our_number or not form.get("From"):
        return None
    word = (form.get("OptOutType") or form.get("Body", "")).strip().upper()
    if word in _STOP:
        return OptedOut(form["From"])
    return OptedIn(form["From"]) if word in _START else None


def _receipt(form: Mapping[str, str], notification_id: UUID | None) -> Receipt | None:
    state, sid = _STATES.get(form["MessageStatus"]), form.get("MessageSid", "")
    if state is None or not 0 < len(sid) <= LONGEST_REFERENCE:
        return None
    code = form.get("ErrorCode") or None
    return Receipt(
        channel=ChannelName.SMS,
        provider_ref=sid,
        notification_id=notification_id,
        state=state,
        code=code and code[:100],
        suppress=Suppression.BOUNCE if state is State.UNDELIVERED and code in _NOBODY_THERE else None,
    )
