"""The sandbox's own API, for programs and for its page: messages, faults, callbacks, counts.

It reads and changes the mailbox and the faults; what a provider answers is decided elsewhere.
"""

from email.message import EmailMessage
from typing import Any

import msgspec
from aiohttp import web

from shopflow.local.sandbox.callbacks import EMAIL_EVENTS, SMS_EVENTS, Callbacks, Event
from shopflow.local.sandbox.faults import Fault, Faults
from shopflow.local.sandbox.mailbox import ChannelName, Content, Mailbox, Message
from shopflow.local.sandbox.problems import Refused, unreadable
from shopflow.local.sandbox.twilio import Twilio

MOST_ON_PAGE = 200
CHANNELS: tuple[ChannelName, ...] = ("email", "sms")
# A mail is shown as its reader sees it, and may neither run nor fetch anything.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"


class CallbackOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /callbacks`."""

    message: str
    event: Event


class Control:
    """Handlers for everything that is not a provider's path."""

    def __init__(self, mailbox: Mailbox, faults: Faults, twilio: Twilio, callbacks: Callbacks | None) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._twilio = twilio
        self._callbacks = callbacks

    def routes(self) -> list[web.AbstractRouteDef]:
        """List the paths with their handlers."""
        return [
            web.get("/messages", self.messages),
            web.delete("/messages", self.clear),
            web.get("/messages/{id}", self.message),
            web.get("/messages/{id}/html", self.html),
            web.get("/messages/{id}/raw", self.raw),
            web.get("/faults", self.faults),
            web.post("/faults", self.add_fault),
            web.delete("/faults", self.end_faults),
            web.post("/callbacks", self.call_back),
            web.get("/requests", self.requests),
            web.get("/overview", self.overview),
            web.get("/health", self.health),
            web.get("/ready", self.health),
        ]

    async def messages(self, request: web.Request) -> web.Response:
        """List messages newest first; `content=false` leaves the texts out, which is cheaper for many."""
        found = self._mailbox.newest(
            channel=_channel(request), to=request.query.get("to"), limit=_limit(request, most=1_000_000)
        )
        with_content = request.query.get("content") != "false"
        return _json([self._view(message, with_content=with_content) for message in found])

    async def message(self, request: web.Request) -> web.Response:
        """Show one message."""
        return _json(self._view(self._find(request), with_content=True))

    async def html(self, request: web.Request) -> web.Response:
        """Show an e-mail's HTML as a page that can do nothing but be looked at."""
        content = self._mailbox.content(self._find(request).id)
        text = content.html or "<p style='font-family:sans-serif'>This message has no HTML part.</p>"
        headers = {"Content-Security-Policy": MAIL_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def raw(self, request: web.Request) -> web.Response:
        """Show an e-mail as the message that SES would build from it."""
        message = self._find(request)
        return web.Response(text=_mime(message, self._mailbox.content(message.id)), content_type="text/plain")

    async def clear(self, _request: web.Request) -> web.Response:
        """Forget all messages, and who opted out."""
        self._mailbox.clear()
        self._twilio.forget_opt_outs()
        return web.Response(status=204)

    async def faults(self, _request: web.Request) -> web.Response:
        """List the faults that still wait for a request."""
        return _json(self._faults.active())

    async def add_fault(self, request: web.Request) -> web.Response:
        """Ask for a fault; answers it with 201."""
        fault = _decoded(await request.read(), Fault)
        if fault.channel == "sms" and isinstance(fault.code, str) and not fault.code.isdecimal():
            raise Refused(400, "Twilio's codes are numbers.", field="code", rule="must be a whole number for sms")
        self._faults.add(fault)
        return _json(fault, status=201)

    async def end_faults(self, request: web.Request) -> web.Response:
        """End the faults of one channel, or all."""
        self._faults.clear(_channel(request))
        return web.Response(status=204)

    async def call_back(self, request: web.Request) -> web.Response:
        """Send a provider's callback about a message and tell what came back (502 when nobody answered)."""
        order = _decoded(await request.read(), CallbackOrder)
        if self._callbacks is None:
            raise Refused(409, "The sandbox was started without a place to send callbacks to (--callbacks).")
        message = self._mailbox.find(order.message)
        if message is None:
            raise Refused(404, "No message has this id.")
        if order.event not in (EMAIL_EVENTS if message.channel == "email" else SMS_EVENTS):
            raise Refused(400, "The event does not occur here.", field="event", rule="must be one of the channel's")
        posted = await self._callbacks.post(message, order.event, origin=str(request.url.origin()))
        return _json(posted, status=200 if posted.status is not None else 502)

    async def requests(self, _request: web.Request) -> web.Response:
        """Count each channel's well-formed requests since the start: all, those a fault met; and accepted messages."""
        return _json({name: self._counts(name) for name in CHANNELS})

    async def overview(self, request: web.Request) -> web.Response:
        """Everything the page shows at once; 304 when the caller's copy is the present one."""
        tag = f'"{self._mailbox.version}.{self._faults.version}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304)
        shown = self._mailbox.newest(
            channel=_channel(request), containing=request.query.get("search", ""), limit=MOST_ON_PAGE
        )
        view = {
            "messages": [self._view(message, with_content=message.channel == "sms") for message in shown],
            "faults": self._faults.active(),
            "counts": self._mailbox.accepted,
            "callbacks": self._callbacks is not None,
        }
        return _json(view, headers={"ETag": tag})

    async def health(self, _request: web.Request) -> web.Response:
        """Say that the sandbox answers."""
        return _json({"status": "ok"})

    def _find(self, request: web.Request) -> Message:
        message = self._mailbox.find(request.match_info["id"])
        if message is None:
            raise Refused(404, "No message has this id.")
        return message

    def _counts(self, channel: ChannelName) -> dict[str, int]:
        accepted, faulted = self._mailbox.accepted[channel], self._faults.met[channel]
        return {"requests": self._faults.asked[channel], "faulted": faulted, "accepted": accepted}

    def _view(self, message: Message, *, with_content: bool) -> dict[str, Any]:
        view = msgspec.structs.asdict(message)
        view["from"] = view.pop("sender")
        return view | (msgspec.structs.asdict(self._mailbox.content(message.id)) if with_content else {})


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as problem:
        raise unreadable(problem) from problem


def _channel(request: web.Request) -> ChannelName | None:
    match request.query.get("channel"):
        case None | "":
            return None
        case "email":
            return "email"
        case "sms":
            return "sms"
    raise Refused(400, "The query is not valid.", field="channel", rule="must be email or sms")


def _limit(request: web.Request, *, most: int) -> int | None:
    text = request.query.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise Refused(400, "The query is not valid.", field="limit", rule=f"must be a whole number from 1 to {most}")
    return int(text)


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", headers=headers
    )


def _mime(message: Message, content: Content) -> str:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = message.sender, message.to, message.subject or ""
    mail["Message-ID"] = f"<{message.id}@email.amazonses.com>"
    for name, value in message.tags.items():
        mail["X-SES-MESSAGE-TAGS"] = f"{name}={value}"
    mail.set_content(content.text or "")
    if content.html is not None:
        mail.add_alternative(content.html, subtype="html")
    return mail.as_string()
