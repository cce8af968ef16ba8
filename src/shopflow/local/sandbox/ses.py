"""Amazon SES as its `sesv2` client sees it: SendEmail with simple content, the service's errors in its own shape.

A signature has to be there and well formed; it is not verified, since any credentials are welcome here.
"""

import os
import re
import time
import uuid
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from shopflow.local.sandbox.conduct import conducted
from shopflow.local.sandbox.faults import Faults
from shopflow.local.sandbox.mailbox import Content, Mailbox, Message, now_text

SIGNATURE = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=[^/,\s]+/\d{8}/[a-z0-9-]+/ses/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}$"
)
ADDRESS = re.compile(r"^[\x21-\x7e]{1,64}@[A-Za-z0-9.-]{1,255}$")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
USUAL_CODES = {
    400: "BadRequestException",
    403: "AccessDeniedException",
    404: "NotFoundException",
    429: "TooManyRequestsException",
    500: "InternalFailure",
    503: "ServiceUnavailable",
}
USUAL_MESSAGES = {429: "Maximum sending rate exceeded.", 500: "The request processing has failed."}

Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,256}$")]


class Part(msgspec.Struct, frozen=True, rename="pascal"):
    """A piece of text and the character set it is to be sent in."""

    data: str
    charset: str = "UTF-8"


class Body(msgspec.Struct, frozen=True, rename="pascal"):
    """The renderings of a simple message."""

    text: Part | None = None
    html: Part | None = None


class Simple(msgspec.Struct, frozen=True, rename="pascal"):
    """A message whose MIME structure SES builds."""

    subject: Part
    body: Body


class Kinds(msgspec.Struct, frozen=True, rename="pascal"):
    """The content of a message; only the simple kind is offered here."""

    simple: Simple


class Destination(msgspec.Struct, frozen=True, rename="pascal"):
    """Who gets the message."""

    to_addresses: Annotated[list[str], Meta(min_length=1, max_length=50)]


class EmailTag(msgspec.Struct, frozen=True, rename="pascal"):
    """A name and a value that come back in the events about the message."""

    name: Tag
    value: Tag


class SendEmail(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of `POST /v2/email/outbound-emails`; members not used here are ignored."""

    from_email_address: str
    destination: Destination
    content: Kinds
    email_tags: Annotated[list[EmailTag], Meta(max_length=50)] = []


class Ses:
    """The one SES operation ShopFlow uses."""

    def __init__(self, mailbox: Mailbox, faults: Faults, *, latency: float) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._latency = latency
        self._decoder = msgspec.json.Decoder(SendEmail)

    async def send(self, request: web.Request) -> web.Response:
        """Take one e-mail, or fail as asked; each call is one request of the caller's."""
        if (unsigned := _signature_problem(request)) is not None:
            return unsigned
        try:
            mail = self._decoder.decode(await request.read())
        except msgspec.DecodeError as problem:
            return _refused(400, "BadRequestException", str(problem))
        if (fault := _fault_of(mail)) is not None:
            return _refused(400, "BadRequestException", fault)
        return await conducted(
            request,
            self._faults.take("email", to=mail.destination.to_addresses[0]),
            accept=lambda: self._accept(mail),
            refuse=_refused,
            latency=self._latency,
        )

    def _accept(self, mail: SendEmail) -> web.Response:
        simple = mail.content.simple
        message_id = _message_id()
        message = Message(
            id=message_id,
            channel="email",
            sender=mail.from_email_address,
            to=mail.destination.to_addresses[0],
            subject=simple.subject.data,
            tags={tag.name: tag.value for tag in mail.email_tags},
            segments=0,
            received_at=now_text(),
        )
        text, html = simple.body.text, simple.body.html
        self._mailbox.add(message, Content(text=_data(text), html=_data(html)))
        return _answer(200, {"MessageId": message_id})


def _data(part: Part | None) -> str | None:
    return None if part is None else part.data


def _signature_problem(request: web.Request) -> web.Response | None:
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return _refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if SIGNATURE.match(authorization) is None or "X-Amz-Date" not in request.headers:
        return _refused(403, "IncompleteSignatureException", "The request signature does not conform to AWS standards.")
    return None


def _fault_of(mail: SendEmail) -> str | None:
    if any(ADDRESS.match(address) is None for address in mail.destination.to_addresses):
        return "Illegal address"
    if CONTROL.search(mail.content.simple.subject.data):
        return "Header value must not contain control characters"
    if mail.content.simple.body.text is None and mail.content.simple.body.html is None:
        return "Body must have at least one of Text and Html"
    return None


def _refused(status: int, code: str | int | None, message: str | None) -> web.Response:
    name = str(code or USUAL_CODES.get(status, "BadRequestException"))
    response = _answer(status, {"message": message or USUAL_MESSAGES.get(status, name)})
    response.headers["x-amzn-ErrorType"] = name
    return response


def _answer(status: int, body: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )


def _message_id() -> str:
    instant = f"{time.time_ns() // 1_000_000:012x}"
    return f"0100{instant}-{uuid.UUID(bytes=os.urandom(16), version=4)}-000000"
