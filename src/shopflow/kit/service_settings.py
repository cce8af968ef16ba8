"""The settings that every service has; each service's own class adds to them."""

from dataclasses import dataclass
from typing import Any, Final

from shopflow.kit import logs
from shopflow.kit.rate_limits import MEMORY
from shopflow.kit.settings import (
    Environment,
    environment,
    one_of,
    origins,
    port,
    postgres_url,
    setting,
    whole,
)

_LONGEST_DELAY: Final = 60


def _store_of_counts(url: str) -> str:
    if url != MEMORY:
        raise ValueError(f"must be {MEMORY}: a store that instances share is not supported yet")
    return url


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What every service reads (PRD Appendix A), and what all of them add."""

    database_url: str = setting(
        "DATABASE_URL", "PostgreSQL connection string", parse=postgres_url, secret=True, file=True
    )
    host: str = setting("HOST", "address to listen on", default="127.0.0.1")
    log_level: str = setting("LOG_LEVEL", "logging verbosity", parse=one_of(*logs.LEVELS), default="info")
    env: Environment = setting(
        "SHOPFLOW_ENV", "development, test or production", parse=environment, default=Environment.DEVELOPMENT
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", "web origins that may call from a browser, separated by commas", parse=origins, default=""
    )
    rate_limit_storage_url: str = setting(
        "RATE_LIMIT_STORAGE_URL", "where calls are counted; memory counts here alone", parse=_store_of_counts,
        default=MEMORY,
    )  # fmt: skip
    shutdown_delay: int = setting(
        "SHUTDOWN_DELAY", "seconds between being told to stop and accepting nothing new",
        parse=whole(0, _LONGEST_DELAY), default="0",
    )  # fmt: skip


def listen_port(default: int) -> Any:
    """The field of a service's port, whose default differs (PRD Appendix A)."""
    return setting("PORT", "HTTP listen port", parse=port, default=str(default))
