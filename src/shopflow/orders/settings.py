"""The settings of order-service: the PRD's Appendix A, and what ShopFlow adds. Read once, by the process's edge."""

from dataclasses import dataclass
from pathlib import Path

from shopflow.kit.service_settings import ServiceSettings, listen_port
from shopflow.kit.settings import amqp_url, http_url, one_of, rate, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Everything that order-service takes from its environment."""

    port: int = listen_port(3002)
    auth_service_url: str = setting("AUTH_SERVICE_URL", "base URL of auth-service", parse=http_url)
    auth_service_token: str | None = setting(
        "AUTH_SERVICE_TOKEN", "shown to auth-service beside the caller's token (R9)", optional=True, secret=True
    )
    auth_service_token_file: Path | None = setting(
        "AUTH_SERVICE_TOKEN_FILE", "a file that holds it, read again on change", parse=Path, optional=True
    )
    rabbitmq_url: str = setting("RABBITMQ_URL", "the broker that events go to", parse=amqp_url, secret=True)
    rate_limit_orders: str | None = setting(
        "RATE_LIMIT_ORDERS", "requests of one user, and refused tokens of one address; off lifts it", parse=rate,
        default="1000/minute",
    )  # fmt: skip
    queue_type: str = setting(
        "RABBITMQ_QUEUE_TYPE", "type of the queues it declares: quorum or classic, the same for every service",
        parse=one_of("quorum", "classic"), default="quorum",
    )  # fmt: skip
