"""The settings of order-service: the PRD's Appendix A, and what ShopFlow adds. Read once, by the process's edge."""

from dataclasses import dataclass
from pathlib import Path

from shopflow.kit.settings import (
    Environment,
    amqp_url,
    environment,
    http_url,
    one_of,
    port,
    postgres_url,
    rate,
    setting,
    whole,
    words,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that order-service takes from its environment."""

    database_url: str = setting(
        "DATABASE_URL", "PostgreSQL of order-service", parse=postgres_url, secret=True, file=True
    )
    auth_service_url: str = setting("AUTH_SERVICE_URL", "base URL of auth-service", parse=http_url)
    auth_service_token: str | None = setting(
        "AUTH_SERVICE_TOKEN", "shown to auth-service beside the caller's token (R9)", optional=True, secret=True
    )
    auth_service_token_file: Path | None = setting(
        "AUTH_SERVICE_TOKEN_FILE",
        "a file that holds it, read again on change",
        parse=Path,
        optional=True,
    )
    rabbitmq_url: str = setting("RABBITMQ_URL", "the broker that events go to", parse=amqp_url, secret=True)
    port: int = setting("PORT", "HTTP listen port", parse=port, default="3002")
    host: str = setting("HOST", "address to listen on", default="127.0.0.1")
    log_level: str = setting(
        "LOG_LEVEL",
        "logging verbosity",
        parse=one_of("debug", "info", "warning", "error", "critical"),
        default="info",
    )
    env: Environment = setting(
        "SHOPFLOW_ENV", "development, test or production", parse=environment, default="development"
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", "web origins that may call it from a browser, comma-separated", parse=words, default=""
    )
    rate_limit_orders: str | None = setting(
        "RATE_LIMIT_ORDERS",
        "requests of one user, and refused tokens of one address; off lifts it",
        parse=rate,
        default="1000/minute",
    )
    rate_limit_storage_url: str = setting(
        "RATE_LIMIT_STORAGE_URL", "where instances share rate limits; memory:// counts in this one", default="memory://"
    )
    queue_type: str = setting(
        "RABBITMQ_QUEUE_TYPE",
        "type of the queues it declares: quorum or classic, the same for every service",
        parse=one_of("quorum", "classic"),
        default="quorum",
    )
    shutdown_delay: int = setting(
        "SHUTDOWN_DELAY",
        "seconds between being told to stop and accepting nothing new",
        parse=whole(0, 60),
        default="0",
    )
