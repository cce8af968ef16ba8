"""What notification-service reads from its environment (PRD Appendix A, and the extras of docs/operating.md)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shopflow.contracts.topology import RETRY_DELAYS
from shopflow.kit import settings
from shopflow.kit.service_settings import ServiceSettings, listen_port
from shopflow.kit.settings import Environment, setting

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def _delays(text: str) -> tuple[float, ...]:
    try:
        delays = tuple(float(word) for word in settings.words(text))
    except ValueError:
        delays = ()
    if not delays or not all(0 < delay <= 3600 for delay in delays):
        raise ValueError("must be seconds such as 1,4,16, each above 0 and at most 3600")
    return delays


def _pause(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ValueError("must be seconds such as 30, above 0 and at most 600")
    return seconds


def _pace(text: str) -> float | None:
    if text.lower() == "off":
        return None
    try:
        messages = float(text)
    except ValueError:
        messages = 0.0
    if not 0 < messages <= 1_000_000:
        raise ValueError("must be messages a second such as 14 or 0.5, or off")
    return messages


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:
        raise ValueError("must be seconds from 0 to 3600")
    return seconds


def _sweep_after(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise ValueError("must be seconds such as 300, above 0 and at most 86400")
    return seconds


def _topic(text: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}", text, re.ASCII):
        raise ValueError("must be the ARN of a topic such as arn:aws:sns:us-east-1:123456789012:ses-events")
    return text


def _phone(text: str) -> str:
    if not (text.startswith("+") and text[1:].isascii() and text[1:].isdigit() and 8 <= len(text) <= 16):
        raise ValueError("must be a phone number such as +15550001234")
    return text


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of one notification-service."""

    port: int = listen_port(3003)
    auth_service_url: str = setting("AUTH_SERVICE_URL", "base URL of auth-service", parse=settings.http_url)
    auth_service_token: str | None = setting(
        "AUTH_SERVICE_TOKEN", "service token for auth-service", unless="AUTH_SERVICE_TOKEN_FILE", secret=True
    )
    auth_service_token_file: Path | None = setting(
        "AUTH_SERVICE_TOKEN_FILE", "a file that holds it, read again on change", parse=Path, optional=True
    )
    order_service_url: str = setting("ORDER_SERVICE_URL", "base URL of order-service", parse=settings.http_url)
    order_service_token: str | None = setting(
        "ORDER_SERVICE_TOKEN", "service token for order-service", unless="ORDER_SERVICE_TOKEN_FILE", secret=True
    )
    order_service_token_file: Path | None = setting(
        "ORDER_SERVICE_TOKEN_FILE", "a file that holds it, read again on change", parse=Path, optional=True
    )
    rabbitmq_url: str = setting(
        "RABBITMQ_URL", "the broker that events come from", parse=settings.amqp_url, secret=True
    )
    aws_ses_region: str = setting("AWS_SES_REGION", "AWS region for SES")
    aws_ses_from_email: str = setting("AWS_SES_FROM_EMAIL", "sender e-mail address")
    aws_endpoint_url_sesv2: str | None = setting(
        "AWS_ENDPOINT_URL_SESV2", "where SES is, if not at AWS", parse=settings.http_url, optional=True
    )
    twilio_account_sid: str = setting("TWILIO_ACCOUNT_SID", "Twilio account SID")
    twilio_auth_token: str = setting("TWILIO_AUTH_TOKEN", "Twilio auth token", secret=True)
    twilio_from_number: str = setting("TWILIO_FROM_NUMBER", "Twilio sender phone number", parse=_phone)
    twilio_base_url: str = setting(
        "TWILIO_BASE_URL", "where Twilio is", parse=settings.http_url, default="https://api.twilio.com"
    )
    rate_limit: str | None = setting(
        "RATE_LIMIT_ORDERS", "requests of one user, and refused tokens of one address; off lifts it",
        parse=settings.rate, default="1000/minute",
    )  # fmt: skip
    retry_delays: tuple[float, ...] = setting(
        "NOTIFICATION_RETRY_DELAYS", "seconds before each retry, separated by commas", parse=_delays,
        default=",".join(map(str, RETRY_DELAYS)),
    )  # fmt: skip
    channel_pause: float = setting(
        "NOTIFICATION_CHANNEL_PAUSE", "seconds that a channel rests at first when its provider wants fewer",
        parse=_pause, default="30",
    )  # fmt: skip
    ses_pace: float | None = setting(
        "AWS_SES_MAX_PER_SECOND", "e-mails a second that this instance sends at most, or off", parse=_pace,
        default="off",
    )  # fmt: skip
    email_in_doubt: str = setting(
        "NOTIFICATION_EMAIL_IN_DOUBT", "an e-mail that may have been sent is sent again once: resend; or never: keep",
        parse=settings.one_of("resend", "keep"), default="resend",
    )  # fmt: skip
    sms_in_doubt: str = setting(
        "NOTIFICATION_SMS_IN_DOUBT", "an SMS that may have been sent is sent again unless Twilio lists it: look-up; or "
        "never: keep", parse=settings.one_of("look-up", "keep"), default="look-up",
    )  # fmt: skip
    sns_topic: str | None = setting(
        "AWS_SNS_TOPIC_ARN", "the topic to which SES publishes what becomes of e-mails", parse=_topic, optional=True
    )
    aws_endpoint_url_sns: str | None = setting(
        "AWS_ENDPOINT_URL_SNS", "where SNS is, if not at AWS", parse=settings.http_url, optional=True
    )
    callbacks_url: str | None = setting(
        "NOTIFICATION_CALLBACKS_URL", "base URL at which providers reach this service", parse=settings.http_url,
        optional=True,
    )  # fmt: skip
    twilio_pace: float | None = setting(
        "TWILIO_MAX_PER_SECOND", "SMS a second that this instance sends at most, or off", parse=_pace, default="off",
    )  # fmt: skip
    replay_interval: float = setting(
        "NOTIFICATION_REPLAY_INTERVAL", "seconds between looks whether the neighbour is back whose absence parked "
        "events, which are replayed then; 0: operators replay them", parse=_interval, default="5",
    )  # fmt: skip
    sweep_after: float = setting(
        "NOTIFICATION_SWEEP_AFTER", "seconds without a sign of work after which an unfinished event is brought back to "
        "its queue; two minutes at least where mail is real", parse=_sweep_after, default="300",
    )  # fmt: skip
    queue_type: str = setting(
        "RABBITMQ_QUEUE_TYPE", "type of the queues it declares: quorum or classic, the same for every service",
        parse=settings.one_of("quorum", "classic"), default="quorum",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.env is not Environment.PRODUCTION:
            return
        places = {
            "AWS_ENDPOINT_URL_SESV2": self.aws_endpoint_url_sesv2,
            "AWS_ENDPOINT_URL_SNS": self.aws_endpoint_url_sns,
            "TWILIO_BASE_URL": self.twilio_base_url,
        }
        sandboxes = [name for name, url in places.items() if url and urlsplit(url).hostname in _LOOPBACK]
        if sandboxes:
            raise ValueError("\n".join(f"{name} names a sandbox, which production refuses" for name in sandboxes))
