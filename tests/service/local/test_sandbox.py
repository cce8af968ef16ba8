"""The sandbox answers as Amazon SES and Twilio do, keeps what it accepted, and fails exactly as asked."""

import asyncio
import base64
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientSession, encode_basic_auth, web
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shopflow.local import sandbox
from shopflow.local.sandbox.callbacks import twilio_signature
from shopflow.local.sandbox.segments import segments

SID = "AC" + "0" * 32
MESSAGES = f"/2010-04-01/Accounts/{SID}/Messages.json"
CREDENTIALS = {"Authorization": encode_basic_auth(SID, "secret")}
SMS = {"To": "+15551234567", "From": "+15550001234", "Body": "Hello"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with sandbox.opened(keep=5) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@asynccontextmanager
async def ses_client(url: str, *, read_timeout: float = 5.0) -> AsyncIterator[Any]:
    config = AioConfig(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=read_timeout)
    client = get_session().create_client(
        "sesv2",
        region_name="us-east-1",
        endpoint_url=url,
        config=config,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    async with client as ses:
        yield ses


@pytest.fixture
async def ses(url: str) -> AsyncIterator[Any]:
    async with ses_client(url) as client:
        yield client


def mail(**changes: Any) -> dict[str, Any]:
    return {
        "FromEmailAddress": "shop@example.com",
        "Destination": {"ToAddresses": ["jane@example.com"]},
        "Content": {
            "Simple": {
                "Subject": {"Data": "Your order"},
                "Body": {"Text": {"Data": "plain"}, "Html": {"Data": "<p>rich</p>"}},
            }
        },
        "EmailTags": [{"Name": "notification_id", "Value": "n-1"}],
        **changes,
    }


async def messages(http: ClientSession, **query: str) -> list[dict[str, Any]]:
    async with http.get("/messages", params=query) as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def text_to(http: ClientSession, **changes: str) -> tuple[int, dict[str, Any]]:
    async with http.post(MESSAGES, data={**SMS, **changes}, headers=CREDENTIALS) as answer:
        return answer.status, await answer.json()


async def fail(http: ClientSession, **fault: Any) -> None:
    async with http.post("/faults", json=fault) as answer:
        assert answer.status == 201, await answer.text()


async def test_an_accepted_email_is_shown_under_the_id_that_ses_answered(ses: Any, http: ClientSession) -> None:
    answer = await ses.send_email(**mail())

    (message,) = await messages(http, channel="email")
    assert message["id"] == answer["MessageId"]
    assert (message["to"], message["from"]) == ("jane@example.com", "shop@example.com")
    assert (message["subject"], message["text"], message["html"]) == ("Your order", "plain", "<p>rich</p>")
    assert message["tags"] == {"notification_id": "n-1"}
    assert message["received_at"].endswith("Z")


async def test_an_accepted_sms_answers_as_twilio_does(http: ClientSession) -> None:
    status, answer = await text_to(http)

    assert status == 201
    assert answer["sid"].startswith("SM")
    assert len(answer["sid"]) == 34
    assert (answer["status"], answer["num_segments"], answer["account_sid"]) == ("queued", "1", SID)
    (message,) = await messages(http, channel="sms")
    assert (message["id"], message["text"], message["segments"]) == (answer["sid"], "Hello", 1)


async def test_an_unsigned_request_to_ses_is_refused(http: ClientSession) -> None:
    async with http.post("/v2/email/outbound-emails", json=mail()) as answer:
        assert answer.status == 403
        assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize("credentials", [None, ("AC" + "1" * 32, "secret"), (SID, "")])
async def test_a_request_to_twilio_without_its_own_credentials_is_refused(
    http: ClientSession, credentials: tuple[str, str] | None
) -> None:
    headers = {} if credentials is None else {"Authorization": encode_basic_auth(*credentials)}
    async with http.post(MESSAGES, data=SMS, headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["code"] == 20003


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "5551234"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550003"}, 21408),
        ({"To": "+15005550004"}, 21610),
        ({"To": "+15005550009"}, 21614),
        ({"From": ""}, 21603),
        ({"From": "ShopFlow!"}, 21212),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
    ],
)
async def test_twilio_refuses_bad_messages_with_its_own_codes(
    http: ClientSession, changes: dict[str, str], code: int
) -> None:
    status, answer = await text_to(http, **changes)

    assert status == 400
    assert (answer["code"], answer["status"]) == (code, 400)
    assert answer["more_info"].endswith(str(code))
    assert await messages(http) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"Destination": {"ToAddresses": ["nobody"]}},
        {"EmailTags": [{"Name": "id", "Value": "not allowed!"}]},
        {"Content": {"Simple": {"Subject": {"Data": "a\nBcc: b@example.com"}, "Body": {"Text": {"Data": "x"}}}}},
        {"Content": {"Simple": {"Subject": {"Data": "a"}, "Body": {}}}},
    ],
)
async def test_ses_refuses_bad_messages_with_its_own_error(
    ses: Any, http: ClientSession, changes: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refusal:
        await ses.send_email(**mail(**changes))

    assert refusal.value.response["Error"]["Code"] == "BadRequestException"
    assert await messages(http) == []


async def test_the_error_fault_answers_in_each_providers_shape_as_often_as_asked(ses: Any, http: ClientSession) -> None:
    await fail(http, channel="email", mode="error", status=400, code="MessageRejected", count=2)
    await fail(http, channel="sms", mode="error", status=500, count=1)

    for _ in range(2):
        with pytest.raises(ClientError) as refusal:
            await ses.send_email(**mail())
        assert refusal.value.response["Error"]["Code"] == "MessageRejected"
    assert (await ses.send_email(**mail()))["MessageId"]
    status, answer = await text_to(http)
    assert (status, answer["code"]) == (500, 20500)
    assert (await text_to(http))[0] == 201


async def test_the_throttle_fault_answers_429_and_says_when_to_come_back(ses: Any, http: ClientSession) -> None:
    await fail(http, channel="email", mode="throttle", count=1)
    await fail(http, channel="sms", mode="throttle", count=1, retry_after=7)

    with pytest.raises(ClientError) as refusal:
        await ses.send_email(**mail())
    assert refusal.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    async with http.post(MESSAGES, data=SMS, headers=CREDENTIALS) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["code"] == 20429


async def test_the_stall_fault_accepts_late_from_a_patient_caller(http: ClientSession) -> None:
    await fail(http, channel="sms", mode="stall", seconds=0.2, count=1)
    started = time.monotonic()

    assert (await text_to(http))[0] == 201
    assert time.monotonic() - started >= 0.2


async def test_the_stall_fault_accepts_nothing_from_a_caller_who_hangs_up(url: str, http: ClientSession) -> None:
    await fail(http, channel="email", mode="stall", seconds=0.4, count=1)

    async with ses_client(url, read_timeout=0.1) as hasty:
        with pytest.raises(ReadTimeoutError):
            await hasty.send_email(**mail())
    await asyncio.sleep(0.5)  # the stall itself has to be over
    assert await messages(http) == []


async def test_the_refuse_fault_cuts_the_connection_and_accepts_nothing(ses: Any, http: ClientSession) -> None:
    await fail(http, channel="email", mode="refuse", count=1)
    await fail(http, channel="sms", mode="refuse", count=1)

    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        await ses.send_email(**mail())
    with pytest.raises(aiohttp.ClientConnectionError):
        await text_to(http)
    assert await messages(http) == []


async def test_the_drop_fault_accepts_and_then_cuts_the_connection(ses: Any, http: ClientSession) -> None:
    await fail(http, channel="email", mode="accept_then_drop", count=1)
    await fail(http, channel="sms", mode="accept_then_drop", count=1)

    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        await ses.send_email(**mail())
    with pytest.raises(aiohttp.ClientConnectionError):
        await text_to(http)
    assert [message["channel"] for message in await messages(http)] == ["sms", "email"]


async def test_the_garbage_fault_answers_what_no_provider_would(http: ClientSession) -> None:
    await fail(http, channel="sms", mode="garbage", count=1)
    await fail(http, channel="sms", mode="garbage", count=1, body="", content_type="application/json")
    await fail(http, channel="sms", mode="garbage", count=1, status=302)

    async with http.post(MESSAGES, data=SMS, headers=CREDENTIALS) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    async with http.post(MESSAGES, data=SMS, headers=CREDENTIALS) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    async with http.post(MESSAGES, data=SMS, headers=CREDENTIALS, allow_redirects=False) as answer:
        assert answer.status == 302
    assert await messages(http) == []


async def test_a_fault_for_one_recipient_spares_the_others_and_ends_when_deleted(http: ClientSession) -> None:
    await fail(http, channel="sms", mode="error", to=SMS["To"])

    assert (await text_to(http))[0] == 500
    assert (await text_to(http, To="+15557654321"))[0] == 201
    async with http.delete("/faults") as answer:
        assert answer.status == 204
    assert (await text_to(http))[0] == 201
    async with http.get("/requests") as answer:
        assert (await answer.json())["sms"] == {"requests": 3, "faulted": 1, "accepted": 2}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "error"}, "channel"),
        ({"channel": "fax", "mode": "error"}, "channel"),
        ({"channel": "sms", "mode": "explode"}, "mode"),
        ({"channel": "sms", "mode": "error", "count": 0}, "count"),
        ({"channel": "sms", "mode": "error", "status": "500"}, "status"),
        ({"channel": "sms", "mode": "error", "code": "Oops"}, "code"),
        ({"channel": "sms", "mode": "error", "cuont": 3}, "cuont"),
        ([], "body"),
    ],
)
async def test_a_malformed_fault_is_answered_with_field_and_rule(http: ClientSession, body: Any, field: str) -> None:
    async with http.post("/faults", json=body) as answer:
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
        problem = await answer.json()
    assert problem["errors"][0]["field"] == field
    assert "explode" not in str(problem)


@pytest.mark.parametrize("query", ["channel=fax", "limit=0", "limit=x", "limit=²"])
async def test_a_malformed_query_is_answered_with_400(http: ClientSession, query: str) -> None:
    async with http.get(f"/messages?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["errors"][0]["field"] == query.split("=", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/messages/none", 404), ("PUT", "/faults", 405)]
)
async def test_what_is_not_there_is_answered_as_a_problem(
    http: ClientSession, method: str, path: str, status: int
) -> None:
    async with http.request(method, path) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_messages_are_listed_newest_first_filtered_and_bounded(ses: Any, http: ClientSession) -> None:
    await ses.send_email(**mail())
    for number in range(5):
        await text_to(http, Body=f"number {number}")

    assert [message["text"] for message in await messages(http)] == [f"number {n}" for n in (4, 3, 2, 1, 0)]
    assert await messages(http, channel="email") == []
    assert len(await messages(http, to=SMS["To"], limit="2")) == 2
    assert "text" not in (await messages(http, content="false"))[0]
    async with http.delete("/messages") as answer:
        assert answer.status == 204
    assert await messages(http) == []


async def test_twilios_list_filters_and_pages(http: ClientSession) -> None:
    for number in range(3):
        await text_to(http, Body=f"number {number}")
    await text_to(http, To="+15557654321")

    query = {"To": SMS["To"], "From": SMS["From"], "DateSent>": "2020-01-01", "PageSize": "2"}
    async with http.get(MESSAGES, params=query, headers=CREDENTIALS) as answer:
        page = await answer.json()
    assert [message["body"] for message in page["messages"]] == ["number 2", "number 1"]
    async with http.get(page["next_page_uri"], headers=CREDENTIALS) as answer:
        rest = await answer.json()
    assert [message["body"] for message in rest["messages"]] == ["number 0"]
    assert rest["next_page_uri"] is None
    async with http.get(MESSAGES, params={"DateSent>": "2999-01-01"}, headers=CREDENTIALS) as answer:
        assert (await answer.json())["messages"] == []


async def test_an_emails_html_is_served_so_that_it_can_do_nothing(ses: Any, http: ClientSession) -> None:
    message_id = (await ses.send_email(**mail()))["MessageId"]

    async with http.get(f"/messages/{message_id}/html") as answer:
        assert await answer.text() == "<p>rich</p>"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    async with http.get(f"/messages/{message_id}/raw") as answer:
        assert "Subject: Your order" in await answer.text()


async def test_the_page_needs_nothing_from_elsewhere(http: ClientSession) -> None:
    for path in ("/", "/mailbox.css", "/mailbox.js", "/favicon.ico"):
        async with http.get(path) as answer:
            assert answer.status == 200
            assert "https://" not in await answer.text()


async def test_the_overview_is_sent_only_when_something_changed(http: ClientSession) -> None:
    await text_to(http)
    async with http.get("/overview") as answer:
        tag = answer.headers["ETag"]
    async with http.get("/overview", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    await fail(http, channel="sms", mode="error")
    async with http.get("/overview", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 200


async def test_the_overview_filters_by_channel_and_part_of_the_recipient(ses: Any, http: ClientSession) -> None:
    await ses.send_email(**mail())
    await text_to(http)

    for query, recipients in (
        ("channel=sms", ["+15551234567"]),
        ("search=JANE", ["jane@example.com"]),
        ("search=x@", []),
    ):
        async with http.get(f"/overview?{query}") as answer:
            overview = await answer.json()
        assert [message["to"] for message in overview["messages"]] == recipients
        assert overview["counts"] == {"email": 1, "sms": 1}


async def test_health_and_readiness_say_ok(http: ClientSession) -> None:
    for path in ("/health", "/ready"):
        async with http.get(path) as answer:
            assert await answer.json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("text", "parts"), [("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("ж" * 70, 1), ("ж" * 71, 2)]
)
def test_segments_are_counted_as_carriers_do(text: str, parts: int) -> None:
    assert segments(text) == parts


class Listener:
    """A notification-service's callback paths, keeping what reached them."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], str]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.received.append((request.path, dict(request.headers), await request.text()))
        return web.Response(status=204)


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/notifications/callbacks/{provider}", listener.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_sms_callback_is_signed_as_twilio_signs() -> None:
    listener = Listener()
    async with (
        listening(listener) as target,
        sandbox.opened(callbacks=target) as url,
        ClientSession(url) as http,
    ):
        sid = (await text_to(http))[1]["sid"]
        async with http.post("/callbacks", json={"message": sid, "event": "delivered"}) as answer:
            told = await answer.json()
        assert (answer.status, told["status"]) == (200, 204)
        ((path, headers, body),) = listener.received
        form = dict(pair.split("=") for pair in body.replace("%2B", "+").split("&"))
        assert form["MessageStatus"] == "delivered"
        assert headers["X-Twilio-Signature"] == twilio_signature(target + path, form, "secret")
        assert (await messages(http))[0]["status"] == "delivered"


async def test_a_customer_who_answers_stop_is_not_written_to_again() -> None:
    listener = Listener()
    async with listening(listener) as target, sandbox.opened(callbacks=target) as url, ClientSession(url) as http:
        sid = (await text_to(http))[1]["sid"]
        async with http.post("/callbacks", json={"message": sid, "event": "stop"}) as answer:
            assert answer.status == 200
        status, refusal = await text_to(http)
        assert (status, refusal["code"]) == (400, 21610)


async def test_an_email_callback_is_an_sns_notification_that_verifies() -> None:
    listener = Listener()
    async with (
        listening(listener) as target,
        sandbox.opened(callbacks=target) as url,
        ses_client(url) as ses,
        ClientSession(url) as http,
    ):
        message_id = (await ses.send_email(**mail()))["MessageId"]
        async with http.post("/callbacks", json={"message": message_id, "event": "bounce"}) as answer:
            assert answer.status == 200
        ((_, _, body),) = listener.received
        envelope = msgspec.json.decode(body)
        async with http.get(envelope["SigningCertURL"]) as answer:
            certificate = x509.load_pem_x509_certificate(await answer.read())

    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    signed = "".join(f"{name}\n{envelope[name]}\n" for name in names)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(envelope["Signature"]), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    event = msgspec.json.decode(envelope["Message"])
    assert (event["eventType"], event["mail"]["messageId"]) == ("Bounce", message_id)
    assert event["mail"]["tags"] == {"notification_id": ["n-1"]}


async def test_a_callback_that_cannot_be_made_says_why(http: ClientSession) -> None:
    sid = (await text_to(http))[1]["sid"]
    async with http.post("/callbacks", json={"message": sid, "event": "delivered"}) as answer:
        assert answer.status == 409

    async with sandbox.opened(callbacks="http://127.0.0.1:9") as other, ClientSession(other) as session:
        sid = (await text_to(session))[1]["sid"]
        for body, status in (
            ({"message": sid, "event": "complaint"}, 400),
            ({"message": "none", "event": "stop"}, 404),
            ({"message": sid, "event": "delivered"}, 502),
        ):
            async with session.post("/callbacks", json=body) as answer:
                assert answer.status == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_program_ends_cleanly_when_told_to_stop(number: signal.Signals) -> None:
    command = "from shopflow.cli.sandbox import serve; raise SystemExit(serve(port=0))"
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"}
    )
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode()
    async with ClientSession(line.split()[-1]) as session, session.get("/health") as answer:
        assert answer.status == 200

    program.send_signal(number)
    assert await asyncio.wait_for(program.wait(), timeout=30) == 0
