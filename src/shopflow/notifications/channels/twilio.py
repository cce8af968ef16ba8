"""SMS through Twilio: one POST to the Messages resource, one GET of its list, and what their answers mean.

The only file that knows Twilio's codes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec

from shopflow.notifications.channels import (
    ATTEMPT_SECONDS,
    BAD_REQUESTS,
    CONNECT_SECONDS,
    CONNECTIONS,
    NOT_ALLOWED,
    READ_SECONDS,
    TOO_MANY,
    Accepted,
    Adopted,
    Failed,
    InDoubt,
    Misconfigured,
    Outcome,
    Outgoing,
    Rejected,
    Rejection,
    Sighting,
    pause,
    reason,
)
from shopflow.notifications.channels.twilio_callbacks import NOTIFICATION
from shopflow.notifications.notification import LONGEST_REFERENCE

DEADLINES = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
MOST_BYTES = 64 * 1024
MOST_LISTED = 1000  # the most that Twilio puts on a page
MOST_BYTES_LISTED = 2 * 1024 * 1024
CLOCKS_APART = timedelta(minutes=1)

THROTTLING = frozenset({20429, 63038})
CONFIGURATION = frozenset({20003, 20005, 20006, 20008, 20404, 21212, 21603, 21659, 21660, 90010})
RECIPIENT = frozenset({21211, 21214, 21217, 21408, 21604, 21606, 21610, 21612, 21614})
PASSING = frozenset({20500, 20503, 20504, 30001, 30003, 30017, 30022})
CREATED = frozenset({200, 201})


class Receipt(msgspec.Struct, frozen=True):
    """The part of Twilio's answer to an accepted message that is kept."""

    sid: str


class Listed(msgspec.Struct, frozen=True):
    """The part of a listed message by which ours is told from others."""

    sid: str
    body: str
    date_created: str


class Listing(msgspec.Struct, frozen=True):
    """The newest messages from our number to one recipient, newest first, and where older ones are."""

    messages: list[Listed]
    next_page_uri: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Twilio's words for an error."""

    code: int
    message: str = ""


class TwilioChannel:
    """SMS from one number of one account, over one pool of connections."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        account_sid: str,
        from_number: str,
        base_url: str,
        callback_url: str | None = None,
    ) -> None:
        self._session = session
        self._callback_url = callback_url
        self._from = from_number
        self._url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Messages.json"

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand one SMS to Twilio."""
        form = {"To": outgoing.to, "From": self._from, "Body": outgoing.text}
        if self._callback_url is not None:
            form["StatusCallback"] = f"{self._callback_url}?{NOTIFICATION}={outgoing.notification_id}"
        try:
            async with self._session.post(self._url, data=form, allow_redirects=False) as response:
                status, headers, body = response.status, response.headers, await _bounded(response, MOST_BYTES)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as problem:
            return Failed(code=type(problem).__name__, reason=reason(f"{type(problem).__name__}: {problem}"))
        except (aiohttp.ClientError, TimeoutError) as problem:
            return InDoubt(reason=reason(f"{type(problem).__name__}: {problem}"))
        if status in CREATED:
            return _acceptance(status, body)
        return _refusal(status, body, retry_after=headers.get("Retry-After"))

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Sighting:
        """Look for the SMS in Twilio's list.

        It is filtered here and not by Twilio's DateSent, which a message that still waits at Twilio does not have.
        """
        query = {"To": outgoing.to, "From": self._from, "PageSize": str(MOST_LISTED)}
        try:
            async with self._session.get(self._url, params=query, allow_redirects=False) as response:
                status, body = response.status, await _bounded(response, MOST_BYTES_LISTED)
            if status in CREATED:
                return _sighting(msgspec.json.decode(body, type=Listing), outgoing.text, since)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ValueError) as problem:
            return Failed(code=type(problem).__name__, reason=reason(f"the list of messages: {problem}"))
        refused = _refusal(status, body, retry_after=None)
        if isinstance(refused, Misconfigured):
            return refused
        return Failed(code=str(status), reason="the list of messages cannot be read")


@asynccontextmanager
async def opened(
    *,
    account_sid: str,
    auth_token: str,
    from_number: str,
    base_url: str = "https://api.twilio.com",
    callback_url: str | None = None,
) -> AsyncIterator[TwilioChannel]:
    """Open the channel for as long as the context lasts; Twilio tells `callback_url` what becomes of each SMS."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, ttl_dns_cache=300),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": aiohttp.encode_basic_auth(account_sid, auth_token), "Accept": "application/json"},
        timeout=DEADLINES,
    ) as session:
        yield TwilioChannel(
            session, account_sid=account_sid, from_number=from_number, base_url=base_url, callback_url=callback_url
        )


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            break
    return bytes(body)


def _acceptance(status: int, body: bytes) -> Outcome:
    try:
        sid = msgspec.json.decode(body, type=Receipt).sid
    except msgspec.DecodeError:
        sid = ""
    if 0 < len(sid) <= LONGEST_REFERENCE:
        return Accepted(provider_ref=sid)
    return InDoubt(reason=f"Twilio answered {status} without a message id")


def _sighting(listing: Listing, text: str, since: datetime) -> Adopted | Failed | None:
    """Tell our message from others to the same number. Trial accounts put words of Twilio's before the text.

    Newer messages may fill the page: then ours may be behind it, and that it is not seen must not send it again.
    """
    earliest = since - CLOCKS_APART
    created = [parsedate_to_datetime(each.date_created) for each in listing.messages]
    for each, at in zip(listing.messages, created, strict=True):
        if each.body.endswith(text) and at >= earliest:
            return Adopted(provider_ref=each.sid[:LONGEST_REFERENCE])
    reaches = any(at < earliest for at in created)
    if listing.next_page_uri is None or reaches:
        return None
    return Failed(code="list_too_long", reason="the list of messages goes on before it reaches the attempt")


def _refusal(status: int, body: bytes, *, retry_after: str | None) -> Outcome:
    """Decide by the status first and by Twilio's own code second, as Twilio advises (D2)."""
    try:
        refusal = msgspec.json.decode(body, type=Refusal)
    except msgspec.DecodeError:
        return _unworded(status, retry_after)
    code, said = str(refusal.code), reason(f"{status} {refusal.code}: {refusal.message}")
    if status == TOO_MANY or refusal.code in THROTTLING:
        return Failed(code=code, reason=said, throttled=True, retry_after=_seconds(retry_after))
    if status in NOT_ALLOWED or refusal.code in CONFIGURATION:
        return Misconfigured(code=code, reason=said)
    if refusal.code in PASSING:
        return Failed(code=code, reason=said, retry_after=_seconds(retry_after))
    if status in BAD_REQUESTS:
        kind = Rejection.RECIPIENT if refusal.code in RECIPIENT else Rejection.CONTENT
        return Rejected(kind=kind, code=code, reason=said)
    return InDoubt(reason=said)


def _unworded(status: int, retry_after: str | None) -> Outcome:
    """Judge an answer that is not Twilio's: something in between gave it, so only a refusal is certain."""
    said = f"{status} without Twilio's own words"
    if status == TOO_MANY:
        return Failed(code=str(status), reason=said, throttled=True, retry_after=_seconds(retry_after))
    if status in NOT_ALLOWED:
        return Misconfigured(code=str(status), reason=said)
    if status in BAD_REQUESTS:
        return Failed(code=str(status), reason=said, retry_after=_seconds(retry_after))
    return InDoubt(reason=said)


def _seconds(retry_after: str | None) -> float | None:
    return pause(retry_after, now=datetime.now(UTC))
