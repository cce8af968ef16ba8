"""Each answer a provider can give becomes the outcome of its class, after exactly one request."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import ClientSession
from moto.server import ThreadedMotoServer

from shopflow.local import sandbox
from shopflow.local.ports import free_port
from shopflow.notifications.channels import (
    Accepted,
    Channel,
    Failed,
    InDoubt,
    Misconfigured,
    Outgoing,
    Rejected,
    Rejection,
    pause,
    ses,
    twilio,
)

SID = "AC" + "0" * 32
EMAIL = Outgoing(
    notification_id=UUID("c3d4e5f6-a7b8-9012-cdef-123456789012"),
    to="jane.doe@example.com",
    subject="Order Confirmation - #b2c3d4e5",
    text="plain",
    html="<p>rich</p>",
)
SMS = Outgoing(notification_id=EMAIL.notification_id, to="+15551234567", text="Hello")
NOW = datetime(2026, 2, 17, 11, 0, tzinfo=UTC)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with sandbox.opened() as address:
        yield address


@pytest.fixture
async def control(url: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(url) as session:
        yield session


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def email(url: str) -> AsyncIterator[Channel]:
    async with ses.opened(region="us-east-1", from_email="shop@example.com", endpoint_url=url) as channel:
        yield channel


@pytest.fixture
async def sms(url: str) -> AsyncIterator[Channel]:
    async with twilio.opened(account_sid=SID, auth_token="secret", from_number="+15550001234", base_url=url) as channel:
        yield channel


async def fail(control: ClientSession, **fault: Any) -> None:
    async with control.post("/faults", json=fault) as answer:
        assert answer.status == 201, await answer.text()


async def messages(control: ClientSession) -> list[dict[str, Any]]:
    async with control.get("/messages") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def requests(control: ClientSession, channel: str) -> int:
    async with control.get("/requests") as answer:
        return int((await answer.json())[channel]["requests"])


async def test_an_accepted_email_has_the_providers_reference_and_our_tag(
    email: Channel, control: ClientSession
) -> None:
    outcome = await email.send(EMAIL)

    (message,) = await messages(control)
    assert outcome == Accepted(provider_ref=message["id"])
    assert message["tags"] == {"notification_id": str(EMAIL.notification_id)}
    assert (message["from"], message["to"]) == ("shop@example.com", EMAIL.to)
    assert (message["subject"], message["text"], message["html"]) == (EMAIL.subject, EMAIL.text, EMAIL.html)


async def test_an_accepted_sms_has_the_providers_reference(sms: Channel, control: ClientSession) -> None:
    outcome = await sms.send(SMS)

    (message,) = await messages(control)
    assert outcome == Accepted(provider_ref=message["id"])
    assert (message["from"], message["to"], message["text"]) == ("+15550001234", SMS.to, SMS.text)


SES_ANSWERS: list[tuple[dict[str, Any], Any]] = [
    ({"status": 500, "code": "InternalFailure"}, Failed),
    ({"status": 503, "code": "ServiceUnavailable"}, Failed),
    ({"status": 500, "code": "SomethingNew"}, InDoubt),
    ({"status": 429}, "throttled"),
    ({"status": 400, "code": "ThrottlingException"}, "throttled"),
    ({"status": 400, "code": "LimitExceededException"}, "throttled"),
    ({"status": 400, "code": "MessageRejected", "message": "Email contains a virus"}, Rejection.CONTENT),
    ({"status": 400, "code": "BadRequestException", "message": "Illegal address"}, Rejection.RECIPIENT),
    ({"status": 400, "code": "NeverHeardOfException"}, Rejection.CONTENT),
    ({"status": 404, "code": "NotFoundException"}, Misconfigured),
    (
        {
            "status": 400,
            "code": "MessageRejected",
            "message": "Email address is not verified. The following identities failed the check: shop@example.com",
        },
        Misconfigured,
    ),
    ({"status": 400, "code": "AccountSuspendedException"}, Misconfigured),
    ({"status": 400, "code": "SendingPausedException"}, Misconfigured),
    ({"status": 400, "code": "MailFromDomainNotVerifiedException"}, Misconfigured),
    ({"status": 403, "code": "InvalidClientTokenId"}, Misconfigured),
    ({"status": 403, "code": "SignatureDoesNotMatch"}, Misconfigured),
    ({"status": 400, "code": "ExpiredTokenException"}, Misconfigured),
]
TWILIO_ANSWERS: list[tuple[dict[str, Any], Any]] = [
    ({"status": 500}, Failed),
    ({"status": 503}, Failed),
    ({"status": 400, "code": 30001}, Failed),
    ({"status": 400, "code": 30003}, Failed),
    ({"status": 500, "code": 99999}, InDoubt),
    ({"status": 429}, "throttled"),
    ({"status": 400, "code": 21211}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21614}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21610}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21408}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21606}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21612}, Rejection.RECIPIENT),
    ({"status": 400, "code": 21617}, Rejection.CONTENT),
    ({"status": 400, "code": 99999}, Rejection.CONTENT),
    ({"status": 401, "code": 20003}, Misconfigured),
    ({"status": 403, "code": 20006}, Misconfigured),
    ({"status": 400, "code": 21212}, Misconfigured),
]


def assert_class(outcome: object, expected: Any) -> None:
    match expected:
        case "throttled":
            assert isinstance(outcome, Failed)
            assert outcome.throttled
        case Rejection():
            assert isinstance(outcome, Rejected)
            assert outcome.kind is expected
        case _:
            assert isinstance(outcome, expected), outcome
            assert not getattr(outcome, "throttled", False)


@pytest.mark.row("P-3", "P-4")
@pytest.mark.parametrize(("answer", "expected"), SES_ANSWERS)
async def test_each_error_of_ses_becomes_the_outcome_of_its_class(
    email: Channel, control: ClientSession, answer: dict[str, Any], expected: Any
) -> None:
    await fail(control, channel="email", mode="error", **answer)

    outcome = await email.send(EMAIL)

    assert_class(outcome, expected)
    assert await requests(control, "email") == 1
    assert await messages(control) == []


@pytest.mark.row("P-7", "P-8", "P-9", "P-11")
@pytest.mark.parametrize(("answer", "expected"), TWILIO_ANSWERS)
async def test_each_error_of_twilio_becomes_the_outcome_of_its_class(
    sms: Channel, control: ClientSession, answer: dict[str, Any], expected: Any
) -> None:
    await fail(control, channel="sms", mode="error", **answer)

    outcome = await sms.send(SMS)

    assert_class(outcome, expected)
    assert await requests(control, "sms") == 1
    assert await messages(control) == []


async def test_a_throttling_provider_says_when_to_come_back(
    email: Channel, sms: Channel, control: ClientSession
) -> None:
    await fail(control, channel="email", mode="throttle", retry_after=7)
    await fail(control, channel="sms", mode="throttle", retry_after=9)

    mail, text = await email.send(EMAIL), await sms.send(SMS)

    assert isinstance(mail, Failed)
    assert isinstance(text, Failed)
    assert (mail.throttled, mail.retry_after) == (True, 7.0)
    assert (text.throttled, text.retry_after) == (True, 9.0)


GARBAGE: list[tuple[dict[str, Any], type]] = [
    ({}, InDoubt),
    ({"body": ""}, InDoubt),
    ({"body": "{}", "content_type": "application/json"}, InDoubt),
    ({"body": '{"MessageId": "", "sid": ""}', "content_type": "application/json"}, InDoubt),
    ({"body": '{"MessageId": 5, "sid": null}', "content_type": "application/json"}, InDoubt),
    ({"body": '{"MessageId": "a', "content_type": "application/json"}, InDoubt),
    ({"body": "[]", "content_type": "application/json"}, InDoubt),
    ({"status": 302}, InDoubt),
    ({"status": 502}, InDoubt),
    ({"status": 404}, Failed),
    ({"status": 403}, Misconfigured),
]


@pytest.mark.row("P-12")
@pytest.mark.parametrize(("answer", "expected"), GARBAGE)
async def test_an_answer_that_is_not_the_providers_never_counts_as_sent(
    email: Channel, sms: Channel, control: ClientSession, answer: dict[str, Any], expected: type
) -> None:
    await fail(control, channel="email", mode="garbage", **answer)
    await fail(control, channel="sms", mode="garbage", **answer)

    assert isinstance(await email.send(EMAIL), expected)
    assert isinstance(await sms.send(SMS), expected)
    assert (await requests(control, "email"), await requests(control, "sms")) == (1, 1)


@pytest.mark.row("P-12")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_with_the_customers_message(
    email: Channel, sms: Channel, control: ClientSession, status: int
) -> None:
    async with sandbox.opened() as elsewhere, ClientSession(elsewhere) as stranger:
        paths = ("/v2/email/outbound-emails", f"/2010-04-01/Accounts/{SID}/Messages.json")
        for channel, path in zip(("email", "sms"), paths, strict=True):
            await fail(control, channel=channel, mode="garbage", status=status, location=elsewhere + path)

        assert isinstance(await email.send(EMAIL), InDoubt)
        assert isinstance(await sms.send(SMS), InDoubt)
        assert await messages(stranger) == []
        assert (await requests(stranger, "email"), await requests(stranger, "sms")) == (0, 0)


@pytest.mark.parametrize(("mode", "accepted"), [("refuse", 0), ("accept_then_drop", 1)])
async def test_a_lost_answer_leaves_the_send_in_doubt_after_one_request(
    email: Channel, sms: Channel, control: ClientSession, mode: str, accepted: int
) -> None:
    await fail(control, channel="email", mode=mode)
    await fail(control, channel="sms", mode=mode)

    assert isinstance(await email.send(EMAIL), InDoubt)
    assert isinstance(await sms.send(SMS), InDoubt)
    assert (await requests(control, "email"), await requests(control, "sms")) == (1, 1)
    assert len(await messages(control)) == 2 * accepted


@pytest.mark.row("P-13")
async def test_a_stalling_provider_leaves_the_send_in_doubt_after_one_request_of_five_seconds(
    email: Channel, sms: Channel, control: ClientSession
) -> None:
    await fail(control, channel="email", mode="stall", seconds=30)
    await fail(control, channel="sms", mode="stall", seconds=30)
    clock = asyncio.get_running_loop().time
    started = clock()

    outcomes = await asyncio.gather(email.send(EMAIL), sms.send(SMS))

    assert [type(outcome) for outcome in outcomes] == [InDoubt, InDoubt]
    assert 4 < clock() - started < 8
    assert (await requests(control, "email"), await requests(control, "sms")) == (1, 1)


async def test_a_provider_that_cannot_be_reached_was_certainly_not_told() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with (
        ses.opened(region="us-east-1", from_email="shop@example.com", endpoint_url=nowhere) as email,
        twilio.opened(account_sid=SID, auth_token="secret", from_number="+15550001234", base_url=nowhere) as sms,
    ):
        assert isinstance(await email.send(EMAIL), Failed)
        assert isinstance(await sms.send(SMS), Failed)


async def test_missing_or_wrong_credentials_are_our_misconfiguration(
    url: str, control: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    async with (
        ses.opened(region="us-east-1", from_email="shop@example.com", endpoint_url=url) as email,
        twilio.opened(account_sid=SID, auth_token="", from_number="+15550001234", base_url=url) as sms,
    ):
        assert isinstance(await email.send(EMAIL), Misconfigured)
        assert isinstance(await sms.send(SMS), Misconfigured)
    assert await messages(control) == []


async def test_a_refused_recipient_is_told_from_refused_content(email: Channel, sms: Channel) -> None:
    no_mailbox = Outgoing(notification_id=EMAIL.notification_id, to="nobody", text="x", subject="x")
    no_mobile = Outgoing(notification_id=EMAIL.notification_id, to="+15005550009", text="x")
    too_long = Outgoing(notification_id=EMAIL.notification_id, to=SMS.to, text="x" * 1601)

    assert_class(await email.send(no_mailbox), Rejection.RECIPIENT)
    assert_class(await sms.send(no_mobile), Rejection.RECIPIENT)
    assert_class(await sms.send(too_long), Rejection.CONTENT)


async def test_a_reason_is_one_line_of_bounded_length(sms: Channel, control: ClientSession) -> None:
    await fail(control, channel="sms", mode="error", status=400, code=21211, message="a\r\nb" + "x" * 990)

    outcome = await sms.send(SMS)

    assert isinstance(outcome, Rejected)
    assert len(outcome.reason) <= 500
    assert outcome.reason.isprintable()


async def test_many_messages_at_once_are_each_sent_once(email: Channel, sms: Channel, control: ClientSession) -> None:
    outcomes = await asyncio.gather(*(channel.send(what) for channel, what in [(email, EMAIL), (sms, SMS)] * 20))

    references = [outcome.provider_ref for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(set(references)) == 40
    assert {message["id"] for message in await messages(control)} == set(references)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("999999999999", 3600.0),
        ("Tue, 17 Feb 2026 11:00:30 GMT", 30.0),
        ("Tue, 17 Feb 2026 10:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert pause(header, now=NOW) == seconds


@pytest.fixture(scope="module")
async def moto() -> AsyncIterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    await verify(url, "first@example.com")  # it imports its SES while the first request waits, longer than ours would
    yield url
    server.stop()


async def test_a_server_that_others_wrote_accepts_our_email_once_the_sender_is_verified(moto: str) -> None:
    async with ses.opened(region="us-east-1", from_email="shop@example.com", endpoint_url=moto) as channel:
        assert isinstance(await channel.send(EMAIL), Misconfigured)
        await verify(moto, "shop@example.com")
        outcome = await channel.send(EMAIL)

    assert isinstance(outcome, Accepted)
    assert outcome.provider_ref in await sent_through(moto)


async def verify(moto: str, identity: str) -> None:
    authorization = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260217/us-east-1/ses/aws4_request"}
    async with (
        aiohttp.ClientSession(headers=authorization) as session,
        session.post(f"{moto}/v2/email/identities", json={"EmailIdentity": identity}) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def sent_through(moto: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{moto}/moto-api/data.json") as answer:
        return await answer.text()
