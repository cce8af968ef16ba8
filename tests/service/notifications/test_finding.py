"""Twilio's list of messages, asked about an SMS in doubt: what counts as found, and what as not to be known."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiohttp import web

from shopflow.local.ports import free_port
from shopflow.notifications.channels import Adopted, Failed, Misconfigured, Outgoing, Sighting, ses, twilio

SMS = Outgoing(notification_id=uuid4(), to="+15551234567", text="ShopFlow: order #b2c3d4e5 confirmed")
BEGAN = datetime(2026, 2, 17, 11, 0, 0, 700_000, tzinfo=UTC)
ACCOUNT = "AC" + "0" * 32

Find = Callable[[web.Response], Awaitable[Sighting]]


def listed(*, sid: str = "SM1", body: str = SMS.text, created: datetime = BEGAN) -> dict[str, Any]:
    """A message as Twilio lists it."""
    at = format_datetime(created)
    return {"sid": sid, "body": body, "date_created": at, "date_sent": None, "status": "queued", "to": SMS.to}


def listing(*messages: dict[str, Any], further: str | None = None) -> web.Response:
    """Twilio's answer; `further` is where it goes on."""
    return web.json_response({"messages": list(messages), "next_page_uri": further, "page": 0})


@pytest.fixture
async def asked() -> list[web.Request]:
    return []


@pytest.fixture
async def find(asked: list[web.Request]) -> AsyncIterator[Find]:
    """Looks for the SMS at a Twilio that answers as told."""
    async with AsyncExitStack() as stack:

        async def look(answer: web.Response) -> Sighting:
            async def respond(request: web.Request) -> web.Response:
                asked.append(request)
                return answer

            app, port = web.Application(), free_port()
            app.router.add_route("*", "/{path:.*}", respond)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", port).start()
            opening = twilio.opened(
                account_sid=ACCOUNT,
                auth_token="secret",
                from_number="+15550001234",
                base_url=f"http://127.0.0.1:{port}",
            )
            channel = await stack.enter_async_context(opening)
            return await channel.find(SMS, since=BEGAN)

        yield look


async def test_the_list_is_asked_once_for_our_number_and_the_recipient(find: Find, asked: list[web.Request]) -> None:
    await find(listing())
    [request] = asked
    assert (request.method, request.path) == ("GET", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert (request.query["To"], request.query["From"]) == (SMS.to, "+15550001234")


async def test_the_same_text_since_the_attempt_began_is_the_message(find: Find) -> None:
    assert await find(listing(listed(sid="SM2", body="another"), listed())) == Adopted("SM1")


async def test_the_words_that_a_trial_account_puts_first_do_not_hide_the_message(find: Find) -> None:
    assert await find(listing(listed(body=f"Sent from your Twilio trial account - {SMS.text}"))) == Adopted("SM1")


async def test_clocks_may_be_a_minute_apart(find: Find) -> None:
    assert await find(listing(listed(created=BEGAN - timedelta(seconds=59)))) == Adopted("SM1")


@pytest.mark.parametrize(
    "answer",
    [listing, lambda: listing(listed(body="another")), lambda: listing(listed(created=BEGAN - timedelta(minutes=2)))],
)
async def test_nothing_another_text_or_an_older_message_is_not_found(
    find: Find, answer: Callable[[], web.Response]
) -> None:
    assert await find(answer()) is None


FURTHER = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1"


async def test_a_list_that_goes_on_before_it_reaches_the_attempt_says_nothing(find: Find) -> None:
    newer = listed(body="another", created=BEGAN + timedelta(minutes=3))
    assert isinstance(await find(listing(newer, further=FURTHER)), Failed)


async def test_a_list_that_goes_on_with_older_messages_is_read_far_enough(find: Find) -> None:
    older = listed(body="another", created=BEGAN - timedelta(minutes=2))
    assert await find(listing(older, further=FURTHER)) is None


UNREADABLE = {
    "an error": lambda: web.Response(status=500),
    "too many": lambda: web.json_response({"code": 20429, "message": "Too Many Requests"}, status=429),
    "a refusal": lambda: web.json_response({"code": 20001, "message": "Invalid parameter"}, status=400),
    "a page": lambda: web.Response(text="<h1>Welcome</h1>", content_type="text/html"),
    "an empty answer": web.Response,
    "other JSON": lambda: web.json_response({"messages": [{"sid": 1}]}),
    "a date that is none": lambda: listing(listed() | {"date_created": "yesterday"}),
    "a redirect": lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "more than can be": lambda: web.Response(body=b"[" + b" " * 5_000_000),
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_list_that_cannot_be_read_says_nothing(find: Find, answer: Callable[[], web.Response]) -> None:
    sighting = await find(answer())
    assert isinstance(sighting, Failed)
    assert re.search("list of messages", sighting.reason)


async def test_a_refused_account_is_a_matter_of_configuration(find: Find) -> None:
    answer = web.Response(status=401, body=msgspec.json.encode({"code": 20003, "message": "Authenticate"}))
    assert isinstance(await find(answer), Misconfigured)


async def test_a_twilio_that_is_not_there_says_nothing() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with twilio.opened(account_sid=ACCOUNT, auth_token="x", from_number="+15550001234", base_url=url) as channel:
        assert isinstance(await channel.find(SMS, since=BEGAN), Failed)


async def test_ses_has_no_list_to_look_into() -> None:
    async with ses.opened(region="us-east-1", from_email="shop@example.com") as channel:
        assert await channel.find(SMS, since=BEGAN) is None
