"""Tells notification-service what became of a message, signed as the provider signs.

What was sent and what came back is handed to the caller, so that a test can replay it or tamper with it.
"""

import base64
import hashlib
import hmac
from typing import Literal
from urllib.parse import urlencode

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from shopflow.local.sandbox import sns
from shopflow.local.sandbox.mailbox import Mailbox, Message
from shopflow.local.sandbox.twilio import Twilio

Event = Literal["delivered", "bounce", "complaint", "stop"]

SES_PATH = "/notifications/callbacks/ses"
TWILIO_PATH = "/notifications/callbacks/twilio"
PATIENCE = ClientTimeout(total=10)
# What each channel's provider can report, and the state in which it leaves the message.
EMAIL_EVENTS: dict[Event, str] = {"delivered": "delivered", "bounce": "bounced", "complaint": "complained"}
SMS_EVENTS: dict[Event, str] = {"delivered": "delivered", "bounce": "undelivered", "stop": "delivered"}


class Posted(msgspec.Struct, frozen=True):
    """One callback: what was sent where, and the answer (`status` is None when nobody answered)."""

    url: str
    headers: dict[str, str]
    body: str
    status: int | None
    answer: str


class Callbacks:
    """The providers' webhooks, aimed at the service whose base URL is `target`."""

    def __init__(self, mailbox: Mailbox, twilio: Twilio, *, target: str) -> None:
        self._mailbox = mailbox
        self._twilio = twilio
        self._target = target.rstrip("/")
        self.signer = sns.Signer()

    async def post(self, message: Message, event: Event, *, origin: str) -> Posted:
        """Send one callback and mark the message; `origin` is the sandbox's own base URL.

        The event must be one that the message's channel knows (`EMAIL_EVENTS`, `SMS_EVENTS`).
        """
        if message.channel == "email":
            url, headers, body = self._email(message, event, origin)
            self._mailbox.mark(message, EMAIL_EVENTS[event])
        else:
            url, headers, body = self._sms(message, event)
            self._mailbox.mark(message, SMS_EVENTS[event])
        status, answer = await _posted(url, headers, body)
        return Posted(url=url, headers=headers, body=body, status=status, answer=answer)

    def _email(self, message: Message, event: Event, origin: str) -> tuple[str, dict[str, str], str]:
        kind = msgspec.convert(event, sns.EmailEvent)
        envelope = sns.notification(sns.ses_event(message, kind), self.signer, origin=origin)
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": envelope["Type"],
            "x-amz-sns-message-id": envelope["MessageId"],
            "x-amz-sns-topic-arn": envelope["TopicArn"],
        }
        return self._target + SES_PATH, headers, msgspec.json.encode(envelope).decode()

    def _sms(self, message: Message, event: Event) -> tuple[str, dict[str, str], str]:
        url = self._target + TWILIO_PATH
        account, token = self._twilio.account_of(message)
        form = _stop_form(message) if event == "stop" else _status_form(message, event)
        form |= {"AccountSid": account, "ApiVersion": "2010-04-01"}
        if event == "stop":
            self._twilio.opt_out(message.to)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": twilio_signature(url, form, token),
        }
        return url, headers, urlencode(form)


def twilio_signature(url: str, form: dict[str, str], token: str) -> str:
    """Sign a form as Twilio does: HMAC-SHA1 over the URL and the sorted names and values, in base64."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()


def _status_form(message: Message, event: Event) -> dict[str, str]:
    form = {"MessageSid": message.id, "SmsSid": message.id, "From": message.sender, "To": message.to}
    if event == "delivered":
        return form | {"MessageStatus": "delivered", "SmsStatus": "delivered"}
    return form | {"MessageStatus": "undelivered", "SmsStatus": "undelivered", "ErrorCode": "30005"}


def _stop_form(message: Message) -> dict[str, str]:
    sid = f"SM{hashlib.sha256(message.id.encode()).hexdigest()[:32]}"
    ids = {"MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid}
    numbers = {"From": message.to, "To": message.sender}
    return ids | numbers | {"Body": "STOP", "OptOutType": "STOP", "SmsStatus": "received", "NumSegments": "1"}


async def _posted(url: str, headers: dict[str, str], body: str) -> tuple[int | None, str]:
    try:
        async with ClientSession(timeout=PATIENCE) as session:
            response = await session.post(url, data=body.encode(), headers=headers, allow_redirects=False)
            return response.status, (await response.text(errors="replace"))[:2000]
    except (ClientError, TimeoutError) as trouble:
        return None, f"{type(trouble).__name__}: {trouble}"[:2000]
