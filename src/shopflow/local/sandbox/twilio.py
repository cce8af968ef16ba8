"""Twilio's Messages resource: create and list, its errors in their own shape, its magic test numbers.

Any account is welcome as long as it authenticates as itself; the token it used signs the callbacks.
"""

import base64
import os
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from shopflow.local.sandbox.conduct import conducted
from shopflow.local.sandbox.faults import Faults
from shopflow.local.sandbox.mailbox import Content, Mailbox, Message, now_text
from shopflow.local.sandbox.segments import segments

E164 = re.compile(r"^\+[1-9]\d{6,14}$")
MOST_CHARACTERS = 1600
LARGEST_PAGE = 1000
SERVER_ERROR = 500
OPTED_OUT = 21610
MESSAGES = {
    20003: "Authenticate",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    21211: "Invalid 'To' Phone Number",
    21212: "Invalid 'From' Phone Number",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
    21602: "Message body is required",
    21603: "A 'From' phone number is required",
    21604: "A 'To' phone number is required",
    OPTED_OUT: "Attempt to send to unsubscribed recipient",
    21612: "The 'To' phone number is not currently reachable via SMS",
    21614: "'To' number is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
}
# What Twilio's test credentials answer for these numbers.
MAGIC = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": OPTED_OUT,
    "+15005550009": 21614,
}
USUAL_CODES = {401: 20003, 404: 20404, 429: 20429, 503: 20503}


class Credentials(NamedTuple):
    """Whom a request says it is from; the sandbox knows no account that would contradict it."""

    account: str
    token: str


class Twilio:
    """One account's messages, seen through the REST API."""

    def __init__(self, mailbox: Mailbox, faults: Faults, *, latency: float) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._latency = latency
        self._accounts: dict[str, Credentials] = {}
        self._opted_out: set[str] = set()

    async def send(self, request: web.Request) -> web.Response:
        """Take one SMS, or fail as asked."""
        credentials = _credentials(request)
        if credentials is None:
            return _refused(401, 20003, None)
        form = await request.post()
        sender, to, body = (str(form.get(name, "")) for name in ("From", "To", "Body"))
        code = self._fault_of(sender, to, body)
        if code is not None:
            return _refused(400, code, None)
        return await conducted(
            request,
            self._faults.take("sms", to=to),
            accept=lambda: self._accept(credentials, sender=sender, to=to, body=body),
            refuse=_refused,
            latency=self._latency,
        )

    async def list_messages(self, request: web.Request) -> web.Response:
        """List the account's messages newest first, filtered and paged by Twilio's parameters."""
        credentials = _credentials(request)
        if credentials is None:
            return _refused(401, 20003, None)
        try:
            page, size = int(request.query.get("Page", "0")), int(request.query.get("PageSize", "50"))
            found = _sent_within(self._addressed(request), request)
        except ValueError:
            return _refused(400, 20001, "Invalid parameter")
        account = credentials.account
        shown = found[page * size : (page + 1) * size] if page >= 0 and 1 <= size <= LARGEST_PAGE else []
        rows = [_resource(message, self._mailbox.content(message.id).text or "", account) for message in shown]
        return _answer(200, {"messages": rows, **_paging(request, page=page, size=size, total=len(found))})

    def account_of(self, message: Message) -> Credentials:
        """Return the credentials of whoever sent this message."""
        return self._accounts[message.sender]

    def opt_out(self, number: str) -> None:
        """Refuse what is sent to this number from now on, as after its owner wrote STOP."""
        self._opted_out.add(number)

    def forget_opt_outs(self) -> None:
        """Let everybody be written to again."""
        self._opted_out.clear()

    def _addressed(self, request: web.Request) -> list[Message]:
        sender = request.query.get("From")
        found = self._mailbox.newest(channel="sms", to=request.query.get("To"))
        return [message for message in found if sender in {None, message.sender}]

    def _fault_of(self, sender: str, to: str, body: str) -> int | None:
        rules = (
            (not to, 21604),
            (not sender, 21603),
            (not body, 21602),
            (E164.match(to) is None, 21211),
            (E164.match(sender) is None, 21212),
            (len(body) > MOST_CHARACTERS, 21617),
            (to in self._opted_out, OPTED_OUT),
        )
        return next((code for broken, code in rules if broken), MAGIC.get(to))

    def _accept(self, credentials: Credentials, *, sender: str, to: str, body: str) -> web.Response:
        self._accounts[sender] = credentials
        message = Message(
            id=f"SM{os.urandom(16).hex()}",
            channel="sms",
            sender=sender,
            to=to,
            subject=None,
            tags={},
            segments=segments(body),
            received_at=now_text(),
            status="queued",
        )
        self._mailbox.add(message, Content(text=body, html=None))
        return _answer(201, _resource(message, body, credentials.account))


def _credentials(request: web.Request) -> Credentials | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        account, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    known = scheme.lower() == "basic" and account == request.match_info["sid"] and token
    return Credentials(account, token) if known else None


def _sent_within(messages: list[Message], request: web.Request) -> list[Message]:
    after, before = request.query.get("DateSent>"), request.query.get("DateSent<")
    earliest = None if after is None else _instant(after)
    latest = None if before is None else _instant(before)
    return [
        message
        for message in messages
        if (earliest is None or _instant(message.received_at) >= earliest)
        and (latest is None or _instant(message.received_at) <= latest)
    ]


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _resource(message: Message, body: str, account: str) -> dict[str, Any]:
    created = format_datetime(_instant(message.received_at))
    uri = f"/2010-04-01/Accounts/{account}/Messages/{message.id}"
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": body,
        "date_created": created,
        "date_sent": None if message.status == "queued" else created,
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": message.sender,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": str(message.segments),
        "price": None,
        "price_unit": "USD",
        "sid": message.id,
        "status": message.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.to,
        "uri": f"{uri}.json",
    }


def _paging(request: web.Request, *, page: int, size: int, total: int) -> dict[str, Any]:
    filters = {name: value for name, value in request.query.items() if name not in {"Page", "PageSize"}}

    def uri(number: int) -> str:
        return f"{request.path}?{urlencode({**filters, 'PageSize': size, 'Page': number})}"

    return {
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": max(page * size, min(total, (page + 1) * size) - 1),
        "uri": uri(page),
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if (page + 1) * size < total else None,
        "previous_page_uri": uri(page - 1) if page else None,
    }


def _refused(status: int, code: str | int | None, message: str | None) -> web.Response:
    number = int(code) if code is not None else USUAL_CODES.get(status, 20500 if status >= SERVER_ERROR else 20001)
    return _answer(
        status,
        {
            "code": number,
            "message": message or MESSAGES.get(number, "Error"),
            "more_info": f"https://www.twilio.com/docs/errors/{number}",
            "status": status,
        },
    )


def _answer(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
