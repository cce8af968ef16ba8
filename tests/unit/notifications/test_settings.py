"""notification-service's settings: what is required, what is refused, all of it said at once."""

from collections.abc import Mapping

import pytest

from shopflow.kit.settings import SettingsError, read
from shopflow.notifications.settings import Settings

COMPLETE: Mapping[str, str] = {
    "DATABASE_URL": "postgresql://user:password@db/notifications",
    "RABBITMQ_URL": "amqp://user:password@broker/",
    "AUTH_SERVICE_URL": "http://auth-service:3001",
    "AUTH_SERVICE_TOKEN": "token",
    "ORDER_SERVICE_URL": "http://order-service:3002",
    "ORDER_SERVICE_TOKEN": "token",
    "AWS_SES_REGION": "us-east-1",
    "AWS_SES_FROM_EMAIL": "shop@example.com",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "secret",
    "TWILIO_FROM_NUMBER": "+15550001234",
}


def refusal(**changes: str | None) -> str:
    environment = {name: value for name, value in {**COMPLETE, **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as refused:
        read(Settings, environment)
    return str(refused.value)


def test_the_prds_variables_are_enough() -> None:
    settings = read(Settings, COMPLETE)
    assert (settings.port, settings.retry_delays, settings.queue_type) == (3003, (1, 4, 16), "quorum")
    assert (settings.twilio_base_url, settings.aws_endpoint_url_sesv2) == ("https://api.twilio.com", None)


def test_everything_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        read(Settings, {})
    said = str(refused.value)
    assert [name for name in COMPLETE if not name.endswith("SERVICE_TOKEN") and name not in said] == []


@pytest.mark.parametrize("service", ["AUTH", "ORDER"])
def test_a_service_token_comes_as_text_or_as_a_file(service: str, tmp_path: object) -> None:
    name = f"{service}_SERVICE_TOKEN"
    assert name in refusal(**{name: None})
    environment = {key: value for key, value in COMPLETE.items() if key != name}
    read(Settings, environment | {f"{name}_FILE": str(tmp_path)})


def test_channels_rest_half_a_minute_and_have_no_pace_unless_told_otherwise() -> None:
    settings = read(Settings, COMPLETE)
    assert (settings.channel_pause, settings.ses_pace, settings.twilio_pace) == (30, None, None)
    told = {"NOTIFICATION_CHANNEL_PAUSE": "5", "AWS_SES_MAX_PER_SECOND": "14", "TWILIO_MAX_PER_SECOND": "0.5"}
    settings = read(Settings, {**COMPLETE, **told})
    assert (settings.channel_pause, settings.ses_pace, settings.twilio_pace) == (5, 14, 0.5)


@pytest.mark.parametrize("name", ["NOTIFICATION_CHANNEL_PAUSE", "AWS_SES_MAX_PER_SECOND", "TWILIO_MAX_PER_SECOND"])
@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf", "1e9"])
def test_a_pause_or_a_pace_that_is_none_is_refused(name: str, text: str) -> None:
    assert name in refusal(**{name: text})


@pytest.mark.parametrize(
    "arn",
    [
        "events",
        "arn:aws:sqs:us-east-1:123456789012:q",
        "arn:aws:sns:us-east-1:1:x",
        "arn:aws:sns:evil.example/:123456789012:x",
        "arn:aws:sns:us-east-1:123456789012:a b",
    ],
)
def test_a_topic_that_is_none_is_refused(arn: str) -> None:
    assert "AWS_SNS_TOPIC_ARN" in refusal(AWS_SNS_TOPIC_ARN=arn)


@pytest.mark.parametrize("delays", ["x", "1,x", "0", "-1", "3601", "nan", "1;4"])
def test_retry_delays_that_are_none_are_refused(delays: str) -> None:
    assert "NOTIFICATION_RETRY_DELAYS" in refusal(NOTIFICATION_RETRY_DELAYS=delays)


@pytest.mark.parametrize(
    "number",
    ["15550001234", "+1555000x", "+", "+1234567890123456", "+\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18"],
)
def test_a_sender_that_is_no_phone_number_is_refused(number: str) -> None:
    assert "TWILIO_FROM_NUMBER" in refusal(TWILIO_FROM_NUMBER=number)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL_SNS", "TWILIO_BASE_URL"])
def test_production_refuses_a_sandbox(name: str) -> None:
    sandbox = {name: "http://127.0.0.1:3010"}
    read(Settings, {**COMPLETE, **sandbox})
    assert name in refusal(SHOPFLOW_ENV="production", **sandbox)


def test_secrets_are_not_shown() -> None:
    said = refusal(PORT="none", DATABASE_URL="mysql://user:hidden@db/x", TWILIO_AUTH_TOKEN="hidden")
    assert "hidden" not in said
