"""What notification-service reads from its environment (PRD Appendix A, and the extras of docs/operating.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shopflow.contracts.topology import RETRY_DELAYS
from shopflow.kit import logs, settings
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


def _phone(text: str) -> str:
    if not (text.startswith("+") and text[1:].isascii() and text[1:].isdigit() and 8 <= len(text) <= 16):
        raise ValueError("must be a phone number such as +15550001234")
    return text


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one notification-service."""

    database_url: str = setting(
        "DATABASE_URL", "PostgreSQL connection string", parse=settings.postgres_url, secret=True, file=True
    )
    auth_service_url: str = setting("AUTH_SERVICE_URL", "Base URL of auth-service", parse=settings.http_url)
    auth_service_token: str | None = setting(
        "AUTH_SERVICE_TOKEN", "Service-to-service JWT for auth-service", optional=True, secret=True
    )
    auth_service_token_file: Path | None = setting(
        "AUTH_SERVICE_TOKEN_FILE", "File with that JWT, read again when it changes", parse=Path, optional=True
    )
    order_service_url: str = setting("ORDER_SERVICE_URL", "Base URL of order-service", parse=settings.http_url)
    order_service_token: str | None = setting(
        "ORDER_SERVICE_TOKEN", "Service-to-service JWT for order-service", optional=True, secret=True
    )
    order_service_token_file: Path | None = setting(
        "ORDER_SERVICE_TOKEN_FILE", "File with that JWT, read again when it changes", parse=Path, optional=True
    )
    rabbitmq_url: str = setting("RABBITMQ_URL", "AMQP connection string", parse=settings.amqp_url, secret=True)
    aws_ses_region: str = setting("AWS_SES_REGION", "AWS region for SES")
    aws_ses_from_email: str = setting("AWS_SES_FROM_EMAIL", "Sender e-mail address")
    aws_endpoint_url_sesv2: str | None = setting(
        "AWS_ENDPOINT_URL_SESV2", "Where SES is, if not at AWS", parse=settings.http_url, optional=True
    )
    twilio_account_sid: str = setting("TWILIO_ACCOUNT_SID", "Twilio account SID")
    twilio_auth_token: str = setting("TWILIO_AUTH_TOKEN", "Twilio auth token", secret=True)
    twilio_from_number: str = setting("TWILIO_FROM_NUMBER", "Twilio sender phone number", parse=_phone)
    twilio_base_url: str = setting(
        "TWILIO_BASE_URL", "Where Twilio is", parse=settings.http_url, default="https://api.twilio.com"
    )
    host: str = setting("HOST", "Address to listen on", default="127.0.0.1")
    port: int = setting("PORT", "HTTP listen port", parse=settings.port, default="3003")
    log_level: str = setting("LOG_LEVEL", "Logging verbosity", parse=settings.one_of(*logs.LEVELS), default="info")
    environment: Environment = setting(
        "SHOPFLOW_ENV", "development, test or production", parse=settings.environment, default="development"
    )
    rate_limit: str | None = setting(
        "RATE_LIMIT_ORDERS", "Requests of one user, or off", parse=settings.rate, default="1000/minute"
    )
    rate_limit_storage_url: str = setting("RATE_LIMIT_STORAGE_URL", "Where counts are kept", default="memory://")
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", "Web origins that may call this API, by comma", parse=settings.words, default=","
    )
    retry_delays: tuple[float, ...] = setting(
        "NOTIFICATION_RETRY_DELAYS", "Seconds before each retry, by comma", parse=_delays,
        default=",".join(map(str, RETRY_DELAYS)),
    )  # fmt: skip
    queue_type: str = setting(
        "RABBITMQ_QUEUE_TYPE", "quorum or classic", parse=settings.one_of("quorum", "classic"), default="quorum"
    )
    shutdown_delay: int = setting(
        "SHUTDOWN_DELAY", "Seconds between being told to stop and refusing new requests", parse=settings.whole(0, 300),
        default="0",
    )  # fmt: skip

    def __post_init__(self) -> None:
        mistakes = []
        for service in ("auth", "order"):
            if not (getattr(self, f"{service}_service_token") or getattr(self, f"{service}_service_token_file")):
                name = f"{service.upper()}_SERVICE_TOKEN"
                mistakes.append(f"{name} is missing (or {name}_FILE)")
        if self.environment is Environment.PRODUCTION:
            for name, url in (
                ("AWS_ENDPOINT_URL_SESV2", self.aws_endpoint_url_sesv2),
                ("TWILIO_BASE_URL", self.twilio_base_url),
            ):
                if url and urlsplit(url).hostname in _LOOPBACK:
                    mistakes.append(f"{name} names a sandbox, which production refuses (R66)")
        if mistakes:
            raise ValueError("\n".join(mistakes))
