"""The settings that every service has; each service's own class adds to them."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final
from urllib.parse import urlsplit

from shopflow.kit import logs
from shopflow.kit.rate_limits import MEMORY
from shopflow.kit.settings import (
    Environment,
    environment,
    networks,
    one_of,
    origins,
    port,
    postgres_url,
    setting,
    whole,
)

_LONGEST_DELAY: Final = 60


_STORES: Final = frozenset({"valkey", "valkeys", "redis", "rediss"})


def _store_of_counts(text: str) -> str:
    if text != MEMORY and not _is_shared_store(text):
        raise ValueError(f"must be {MEMORY}, or a URL such as valkey://:password@host:6379/0 (valkeys:// with TLS)")
    return text


def _is_shared_store(text: str) -> bool:
    """A Valkey or Redis with a host and perhaps the number of a database; options would be the client's, not ours."""
    try:
        parts = urlsplit(text)
        reachable = parts.scheme in _STORES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return reachable and "?" not in text and re.fullmatch(r"(/\d{0,4})?", parts.path, re.ASCII) is not None


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
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "TRUSTED_PROXIES", "proxies whose X-Forwarded-For is believed, as networks separated by commas",
        parse=networks, default="",
    )  # fmt: skip
    internal_port: int | None = setting(
        "INTERNAL_PORT", "second port, then the only one for metrics, readiness and the API's description",
        parse=port, optional=True,
    )  # fmt: skip
    rate_limit_storage_url: str = setting(
        "RATE_LIMIT_STORAGE_URL", "where calls are counted: memory, or a Valkey or Redis that instances share",
        parse=_store_of_counts, default=MEMORY, secret=True, file=True,
    )  # fmt: skip
    shutdown_delay: int = setting(
        "SHUTDOWN_DELAY", "seconds between being told to stop and accepting nothing new",
        parse=whole(0, _LONGEST_DELAY), default="0",
    )  # fmt: skip


def listen_port(default: int) -> Any:
    """The field of a service's port, whose default differs (PRD Appendix A)."""
    return setting("PORT", "HTTP listen port", parse=port, default=str(default))
