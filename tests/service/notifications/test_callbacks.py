"""What the providers tell afterwards (D5, D6): only from them, never backwards, and whom not to write to any more."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from litestar import Request, Response, get, post
from tests.service.notifications.neighbours import Auth
from tests.service.notifications.shop import Service, Shop, created, until

from shopflow.contracts.identity import Role
from shopflow.contracts.orders import Order
from shopflow.contracts.topology import RETRY_DELAYS
from shopflow.kit.metrics import Metrics
from shopflow.kit.server import running
from shopflow.kit.service import Application
from shopflow.local import sandbox
from shopflow.local.ports import free_port
from shopflow.local.sandbox.callbacks import SES_PATH, TWILIO_PATH, twilio_signature
from shopflow.local.sandbox.sns import CERTIFICATE_PATH, TOPIC, Signer
from shopflow.notifications.app import build
from shopflow.notifications.channels import Accepted, Outgoing, twilio
from shopflow.notifications.settings import Settings

Serve = Callable[[Application], Awaitable[str]]

AUTH_TOKEN = "secret"
FORM = "application/x-www-form-urlencoded"


def application(*routes: Any) -> Application:
    return Application(
        name="elsewhere", summary="A stand-in.", routes=routes, resources=[], dependencies=[], metrics=Metrics(),
        max_body=10_000,
    )  # fmt: skip


@dataclass
class Sns:
    """Amazon SNS as it meets us: it signs, shows its certificate, and is told that a subscription is confirmed."""

    signer: Signer = field(default_factory=Signer)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def application(self) -> Application:
        @get(CERTIFICATE_PATH)
        async def certificate(request: Request[Any, Any, Any]) -> Response[bytes]:
            self.asked.append(request.url.path)
            return Response(self.signer.certificate, media_type="application/x-pem-file")

        @get("/")
        async def confirm(request: Request[Any, Any, Any]) -> Response[bytes]:
            self.asked.append(request.scope["query_string"].decode())
            return Response(b"<ConfirmSubscriptionResponse/>", media_type="text/xml")

        return application(certificate, confirm)

    def envelope(self, kind: str = "Notification", *, version: str = "2", **changes: str) -> dict[str, str]:
        """Something that SNS posts, with changes that it signed."""
        said = {
            "Type": kind, "MessageId": str(uuid4()), "TopicArn": TOPIC, "Message": "{}", "SignatureVersion": version,
            "Timestamp": "2026-02-17T11:00:00.000Z", "SigningCertURL": self.url + CERTIFICATE_PATH,
        }  # fmt: skip
        if kind != "Notification":
            said |= {"Token": "t0ken", "SubscribeURL": f"{self.url}/?Action=ConfirmSubscription&Token=t0ken"}
        said |= changes
        names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        text = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
        return said | {"Signature": self._sha1(text) if version == "1" else self.signer.sign(text)}

    def _sha1(self, text: str) -> str:
        signature = self.signer._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - SNS's first
        return base64.b64encode(signature).decode()


def bounce(notification_id: str, *, kind: str = "Permanent", event: str = "Bounce", ref: str = "0100-ref") -> str:
    """An event of SES."""
    mail = {"messageId": ref, "tags": {"notification_id": [notification_id], "ses:region": ["us-east-1"]}, "new": 1}
    return json.dumps({"eventType": event, "mail": mail, "bounce": {"bounceType": kind, "bounceSubType": "General"}})


@pytest.fixture
async def sns(serving: Serve) -> Sns:
    stand_in = Sns()
    stand_in.url = await serving(stand_in.application())
    return stand_in


@pytest.fixture
async def service(*, alone: Settings, auth: Auth, sns: Sns, serving: Serve, http: aiohttp.ClientSession) -> Service:
    """A service that hears of SES through that SNS, and has nothing to consume from."""
    settings = replace(alone, sns_topic=TOPIC, aws_endpoint_url_sns=sns.url)
    return Service(await serving(build(settings)), alone.database_url, auth, http)


@pytest.fixture
async def heard(settings: Settings, around: Shop) -> AsyncIterator[Shop]:
    """A whole service whose providers, in the sandbox, tell it what became of its messages."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with sandbox.opened(callbacks=url) as provider, aiohttp.ClientSession(provider) as session:
        here = replace(
            settings, aws_endpoint_url_sesv2=provider, twilio_base_url=provider, aws_endpoint_url_sns=provider,
            sns_topic=TOPIC,
        )  # fmt: skip
        async with running(build(here), host="127.0.0.1", port=port):
            shop = replace(around, url=url, sandbox=session)
            await shop.until_consuming()
            yield shop


async def told(shop: Shop, message: str, event: str) -> dict[str, Any]:
    """Has a provider tell what became of a message; it must be heard."""
    async with shop.sandbox.post("/callbacks", json={"message": message, "event": event}) as answer:
        posted: dict[str, Any] = await answer.json()
        assert posted["status"] == 204, posted
        return posted


async def posted(service: Service, path: str, body: str, headers: Mapping[str, str]) -> int:
    """The status of the answer to a callback."""
    async with service.http.post(service.url + path, data=body.encode(), headers=headers) as answer:
        if answer.status == 403:
            assert (await answer.json())["type"] == "urn:shopflow:problem:callback-not-verified"
        return answer.status


async def through_sns(service: Service, envelope: Mapping[str, str]) -> int:
    return await posted(service, SES_PATH, json.dumps(envelope), {"Content-Type": "text/plain; charset=UTF-8"})


async def through_twilio(service: Service, form: Mapping[str, str], *, query: str = "", token: str = AUTH_TOKEN) -> int:
    path = TWILIO_PATH + query
    signed = twilio_signature(service.url + path, dict(form), token)
    return await posted(service, path, urlencode(form), {"Content-Type": FORM, "X-Twilio-Signature": signed})


async def receipts(service: Service) -> list[tuple[str, str | None]]:
    rows = await service.rows("SELECT state, code FROM receipts ORDER BY reported_at")
    return [(row["state"], row["code"]) for row in rows]


async def suppressed(service: Service) -> list[tuple[str, str, str]]:
    rows = await service.rows("SELECT channel, recipient, cause FROM suppressions ORDER BY 1, 2")
    return [(row["channel"], row["recipient"], row["cause"]) for row in rows]


async def sent(service: Service, channel: str = "email", *, status: str = "sent") -> str:
    """A notification on record, as if it had been sent; answers its id. Its reference is `0100-ref`."""
    statement = """
        INSERT INTO notifications (user_id, channel, type, recipient, body, status, provider_ref, sent_at)
        VALUES ($1, $2, 'order_created', $3, 'b', $4, '0100-ref', now()) RETURNING id::text
    """
    recipient = "jane.doe@example.com" if channel == "email" else "+15551234567"
    [row] = await service.rows(statement, uuid4(), channel, recipient, status)
    return str(row["id"])


async def ordered(shop: Shop, *, done: int) -> Order:
    """One more order that everything is said about."""
    order = shop.order()
    await shop.publish(created(order))
    await shop.until_verdicts(done=done)
    return order


async def test_what_became_of_both_messages_is_kept_and_moves_no_status(heard: Shop) -> None:
    order = await ordered(heard, done=1)
    for message in await heard.messages():
        await told(heard, message["id"], "delivered")
    assert await receipts(heard) == [("delivered", None)] * 2
    [row] = await heard.rows("SELECT id::text FROM notifications WHERE channel = 'email'")
    owner = heard.auth.token(Role.CUSTOMER, order.user_id)
    [attempt] = (await heard.ask(f"/notifications/{row['id']}/attempts", owner))["data"]
    assert (attempt["outcome"], attempt["receipt"]) == ("accepted", "delivered")
    assert await heard.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert await suppressed(heard) == []


@pytest.mark.row("P-6")
@pytest.mark.parametrize(
    ("channel", "event", "cause"),
    [("email", "bounce", "bounce"), ("email", "complaint", "complaint"), ("sms", "stop", "stop"),
     ("sms", "bounce", "bounce")],
)  # fmt: skip
async def test_who_bounced_complained_or_said_stop_is_not_written_to_again(
    heard: Shop, channel: str, event: str, cause: str
) -> None:
    other = "sms" if channel == "email" else "email"
    await ordered(heard, done=1)
    [message] = await heard.messages(channel)
    await told(heard, message["id"], event)
    assert await suppressed(heard) == [(channel, message["to"], cause)]
    order = await ordered(heard, done=2)
    assert await heard.states(order) == {f"order_created.{channel}": "failed", f"order_created.{other}": "sent"}
    assert (await heard.requests(channel), await heard.requests(other)) == (1, 2)
    [row] = await heard.rows("SELECT error_message, provider_ref FROM notifications WHERE status = 'failed'")
    assert tuple(row) == (f"suppressed: nothing is sent to this recipient any more: {cause}", None)
    assert await heard.outcomes(channel) == ["accepted", "suppressed"]


async def test_who_wants_sms_again_gets_them_again(heard: Shop) -> None:
    await ordered(heard, done=1)
    [message] = await heard.messages("sms")
    await told(heard, message["id"], "stop")
    start = {"From": message["to"], "To": message["from"], "Body": " start ", "SmsStatus": "received"}
    assert await through_twilio(heard, start) == 204
    assert await suppressed(heard) == []


async def test_starting_again_does_not_lift_what_did_not_come_from_stopping(service: Service) -> None:
    await service.rows("INSERT INTO suppressions VALUES ('sms', '+15551234567', 'bounce')")
    start = {"From": "+15551234567", "To": "+15550001234", "OptOutType": "START"}
    assert await through_twilio(service, start) == 204
    assert await suppressed(service) == [("sms", "+15551234567", "bounce")]


@pytest.mark.parametrize(
    "form",
    [
        {"To": "+15550001234", "Body": "stop sending me two copies", "From": "+15551234567"},
        {"To": "+15559999999", "Body": "STOP", "From": "+15551234567"},
        {"To": "+15550001234", "Body": "STOP"},
        {"MessageStatus": "something-new", "MessageSid": "0100-ref"},
        {"MessageStatus": "delivered"},
        {"MessageStatus": "undelivered", "MessageSid": "0100\0-ref", "ErrorCode": "30006"},
        {},
    ],
)
async def test_what_says_nothing_of_use_is_taken_and_forgotten(service: Service, form: dict[str, str]) -> None:
    await sent(service, "sms")
    assert await through_twilio(service, form) == 204
    assert (await suppressed(service), await receipts(service)) == ([], [])


@pytest.mark.row("P-15")
async def test_a_mailbox_that_is_full_today_is_written_to_tomorrow(service: Service, sns: Sns) -> None:
    await through_sns(service, sns.envelope(Message=bounce(await sent(service), kind="Transient")))
    assert await receipts(service) == [("bounced", "Transient/General")]
    assert await suppressed(service) == []


@pytest.mark.row("P-15")
async def test_callbacks_that_come_late_or_twice_move_nothing_back(service: Service, sns: Sns) -> None:
    about = await sent(service)
    for event in ("Send", "Complaint", "Delivery", "Bounce", "DeliveryDelay", "Send", "Open", "Whatever"):
        assert await through_sns(service, sns.envelope(Message=bounce(about, event=event))) == 204
    assert [state for state, _ in await receipts(service)] == ["complained"]
    [row] = await service.rows("SELECT status, provider_ref FROM notifications")
    assert tuple(row) == ("sent", "0100-ref")


@pytest.mark.row("P-15")
async def test_an_sms_that_was_delivered_stays_delivered(service: Service) -> None:
    await sent(service, "sms")
    for status in ("sent", "delivered", "undelivered", "sending", "queued", "failed"):
        form = {"MessageSid": "0100-ref", "MessageStatus": status, "ErrorCode": "30006", "ParameterOfTomorrow": "x"}
        assert await through_twilio(service, form) == 204
    assert [state for state, _ in await receipts(service)] == ["delivered"]
    assert await suppressed(service) == []


@pytest.mark.row("P-15")
async def test_a_repeated_callback_does_not_bring_back_a_suppression_that_was_lifted(heard: Shop) -> None:
    await ordered(heard, done=1)
    [message] = await heard.messages("email")
    said = await told(heard, message["id"], "bounce")
    await heard.rows("DELETE FROM suppressions")
    assert await posted(heard, SES_PATH, said["body"], said["headers"]) == 204
    assert await suppressed(heard) == []


@pytest.mark.row("P-15")
async def test_what_is_about_a_message_that_nobody_knows_is_taken_and_forgotten(service: Service, sns: Sns) -> None:
    assert await through_sns(service, sns.envelope(Message=bounce(str(uuid4())))) == 204
    assert await through_sns(service, sns.envelope(Message=bounce("none", ref="unknown"))) == 204
    assert await through_sns(service, sns.envelope(Message="not an event at all")) == 204
    assert await through_twilio(service, {"MessageSid": "SM1", "MessageStatus": "delivered"}) == 204
    assert (await suppressed(service), await receipts(service)) == ([], [])


async def test_an_email_whose_tag_is_missing_is_found_by_its_reference(service: Service, sns: Sns) -> None:
    await sent(service)
    await through_sns(service, sns.envelope(Message=bounce("none"), version="1", Subject="Amazon SES"))
    assert await receipts(service) == [("bounced", "Permanent/General")]


@pytest.mark.row("P-15")
@pytest.mark.parametrize(
    "change",
    [
        {"Signature": "AAAA"},
        {"Signature": "not base64"},
        {"Message": bounce("a1b2c3d4-e5f6-7890-abcd-ef1234567890")},
        {"Timestamp": "2026-02-17T12:00:00.000Z"},
        {"Subject": "added"},
        {"TopicArn": "arn:aws:sns:us-east-1:000000000000:another"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Type": "UnsubscribeConfirmation"},
    ],
)
async def test_what_sns_did_not_sign_is_refused(service: Service, sns: Sns, change: dict[str, str]) -> None:
    about = await sent(service)
    assert await through_sns(service, sns.envelope(Message=bounce(about)) | change) == 403
    assert (await suppressed(service), await receipts(service)) == ([], [])


@pytest.mark.row("P-15")
@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"Type": "Notification"}', "\0", "x" * 1000])
async def test_what_is_no_message_of_sns_at_all_is_refused(service: Service, body: str) -> None:
    assert await posted(service, SES_PATH, body, {"Content-Type": "application/json"}) == 403


@pytest.mark.row("P-15", "P-16")
@pytest.mark.parametrize(
    "url",
    ["{foreign}{path}", "{own}.evil.example{path}", "{own}@{foreign_host}{path}", "{own}/other.pem", "{own}{path}?x=1",
     "{own}{path}#x", "{own}/{path}", "ftp:{path}", "{path}", "https://[", "{own}/a/..{path}", "{own}{path}/../../x"],
)  # fmt: skip
async def test_a_certificate_is_fetched_from_the_topics_host_only(
    service: Service, sns: Sns, serving: Serve, url: str
) -> None:
    foreign = Sns(signer=sns.signer)
    foreign.url = await serving(foreign.application())
    where = url.format(
        foreign=foreign.url, foreign_host=foreign.url.removeprefix("http://"), own=sns.url, path=CERTIFICATE_PATH
    )
    assert await through_sns(service, sns.envelope(Message=bounce(await sent(service)), SigningCertURL=where)) == 403
    assert (foreign.asked, sns.asked) == ([], [])
    assert await suppressed(service) == []


async def test_a_certificate_is_fetched_once(service: Service, sns: Sns) -> None:
    about = await sent(service)
    for event in ("Send", "Delivery", "Bounce"):
        assert await through_sns(service, sns.envelope(Message=bounce(about, event=event))) == 204
    assert sns.asked == [CERTIFICATE_PATH]


@pytest.mark.row("P-16")
async def test_a_subscription_to_our_topic_is_confirmed_at_its_host(service: Service, sns: Sns) -> None:
    assert await through_sns(service, sns.envelope("SubscriptionConfirmation")) == 204
    [_, confirmation] = sns.asked
    assert dict(parse_qsl(confirmation)) == {"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": "t0ken"}


@pytest.mark.row("P-16")
async def test_nobody_makes_us_call_a_foreign_address(service: Service, sns: Sns, serving: Serve) -> None:
    foreign = Sns(signer=sns.signer)
    foreign.url = await serving(foreign.application())
    for url in (f"{foreign.url}/?Action=ConfirmSubscription", f"{sns.url}@{foreign.url.removeprefix('http://')}/", ""):
        envelope = sns.envelope("SubscriptionConfirmation", SubscribeURL=url)
        assert await through_sns(service, envelope) == 403
    for other in ({"TopicArn": f"{TOPIC}-other"}, {"SigningCertURL": foreign.url + CERTIFICATE_PATH}):
        assert await through_sns(service, sns.envelope("SubscriptionConfirmation", **other)) == 403
    assert foreign.asked == []
    assert sns.asked == [CERTIFICATE_PATH]


async def test_without_a_topic_nothing_of_ses_is_believed(alone: Settings, service: Service, serving: Serve) -> None:
    deaf = replace(service, url=await serving(build(alone)))
    assert await through_sns(deaf, Sns(url="http://127.0.0.1:9").envelope()) == 403


@pytest.mark.row("P-15")
@pytest.mark.parametrize("signature", [None, "", "AAAA", "\u00e9"])
async def test_a_form_without_twilios_signature_is_refused(service: Service, signature: str | None) -> None:
    await sent(service, "sms")
    form = urlencode({"MessageSid": "0100-ref", "MessageStatus": "delivered"})
    headers = {"Content-Type": FORM} | ({} if signature is None else {"X-Twilio-Signature": signature})
    assert await posted(service, TWILIO_PATH, form, headers) == 403
    assert await receipts(service) == []


@pytest.mark.row("P-15")
async def test_a_form_that_was_changed_or_signed_for_elsewhere_is_refused(heard: Shop) -> None:
    await ordered(heard, done=1)
    [message] = await heard.messages("sms")
    said = await told(heard, message["id"], "delivered")
    changed = said["body"].replace("delivered", "undelivered")
    assert await posted(heard, TWILIO_PATH, changed, said["headers"]) == 403
    assert await posted(heard, f"{TWILIO_PATH}?notification=x", said["body"], said["headers"]) == 403
    assert await posted(heard, TWILIO_PATH, said["body"] + "&MessageStatus=failed", said["headers"]) == 403
    assert await through_twilio(heard, {"MessageSid": message["id"], "MessageStatus": "failed"}, token="other") == 403
    assert [state for state, _ in await receipts(heard)] == ["delivered"]


async def test_behind_a_proxy_the_signature_is_over_the_public_address(
    alone: Settings, service: Service, serving: Serve
) -> None:
    await sent(service, "sms")
    inside = replace(
        service, url=await serving(build(replace(alone, callbacks_url="https://shop.example/callbacks-of-ours")))
    )
    form = {"MessageSid": "0100-ref", "MessageStatus": "delivered"}
    signed = twilio_signature(f"https://shop.example/callbacks-of-ours{TWILIO_PATH}?a=b", form, "secret")
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signed}
    assert await posted(inside, f"{TWILIO_PATH}?a=b", urlencode(form), headers) == 204
    assert await receipts(service) == [("delivered", None)]


async def test_twilio_is_told_where_to_report_and_about_which_notification(serving: Serve) -> None:
    asked: list[dict[str, str]] = []

    @post("/2010-04-01/Accounts/{sid:str}/Messages.json")
    async def create(request: Request[Any, Any, Any]) -> dict[str, str]:
        asked.append(dict(parse_qsl((await request.body()).decode())))
        return {"sid": "SM1"}

    url = await serving(application(create))
    outgoing = Outgoing(uuid4(), "+15551234567", "Hello")
    where = f"https://shop.example{TWILIO_PATH}"
    async with twilio.opened(
        account_sid="AC1", auth_token="t", from_number="+15550001234", base_url=url, callback_url=where
    ) as channel:
        assert await channel.send(outgoing) == Accepted("SM1")
    assert asked[0]["StatusCallback"] == f"{where}?notification={outgoing.notification_id}"


@pytest.mark.row("P-5")
async def test_an_email_in_doubt_that_the_provider_reports_about_was_sent(heard: Shop) -> None:
    order = heard.order()
    await heard.fail("email", "accept_then_drop", count=2)
    await heard.publish(created(order))
    await heard.until_verdicts(retry=1, park=1)
    assert await heard.states(order) == {"order_created.email": "failed", "order_created.sms": "sent"}
    _, first = await heard.messages("email")
    await told(heard, first["id"], "delivered")
    [row] = await heard.rows("SELECT status, provider_ref, error_message FROM notifications WHERE channel = 'email'")
    assert tuple(row) == ("sent", first["id"], None)
    assert await heard.outcomes("email") == ["in_doubt", "in_doubt", "adopted"]


async def test_an_sms_in_doubt_that_twilio_reports_about_is_not_sent_again(
    settings: Settings, around: Shop, serving: Serve
) -> None:
    shop = replace(around, url=await serving(build(replace(settings, retry_delays=RETRY_DELAYS))))
    await shop.until_consuming()
    order = shop.order()
    placed = created(order)
    await shop.fail("sms", "accept_then_drop", count=1)
    await shop.publish(placed)
    await shop.until_verdicts(retry=1)
    [message] = await shop.messages("sms")
    [row] = await shop.rows("SELECT id::text FROM notifications WHERE channel = 'sms'")
    form = {"MessageSid": message["id"], "MessageStatus": "sent"}
    assert await through_twilio(shop, form, query=f"?notification={row['id']}") == 204
    await shop.publish(placed)  # the copy itself comes when the SMS would have been looked for, in 30 s
    await shop.until_verdicts(retry=1, done=1)
    assert await shop.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert await shop.outcomes("sms") == ["in_doubt", "adopted"]
    assert await shop.requests("sms") == 1


async def test_an_attempt_that_ends_after_the_provider_reported_about_it_changes_nothing(heard: Shop) -> None:
    order = heard.order()
    await heard.fail("sms", "stall", seconds=2, count=1)
    await heard.publish(created(order))

    async def trying() -> bool:
        return await heard.requests("sms") == 1

    await until(trying)
    [row] = await heard.rows("SELECT id::text FROM notifications WHERE channel = 'sms'")
    form = {"MessageSid": "SM-reported", "MessageStatus": "delivered"}
    assert await through_twilio(heard, form, query=f"?notification={row['id']}") == 204
    await heard.until_verdicts(done=1)
    [row] = await heard.rows("SELECT status, provider_ref FROM notifications WHERE channel = 'sms'")
    assert tuple(row) == ("sent", "SM-reported")
    assert await heard.states(order) == {"order_created.email": "sent", "order_created.sms": "sent"}
    assert sorted(await heard.outcomes("sms"), key=str) == ["accepted", "adopted"]


async def test_callbacks_are_counted_by_what_became_of_them(service: Service, sns: Sns) -> None:
    about = await sent(service)
    for message in (bounce(about), bounce(about), bounce(str(uuid4())), "{}"):
        await through_sns(service, sns.envelope(Message=message))
    await through_sns(service, sns.envelope() | {"Signature": "AAAA"})
    async with service.http.get(f"{service.url}/metrics") as answer:
        said = await answer.text()
    for outcome in ("recorded", "repeated", "unknown", "ignored", "refused"):
        assert f'shopflow_callbacks_total{{channel="email",outcome="{outcome}"}} 1.0' in said
