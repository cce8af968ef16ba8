"""What auth-service reads from its environment: PRD Appendix A, and the documented extras."""

from dataclasses import dataclass
from typing import Final

from shopflow.kit import logs
from shopflow.kit.rate_limits import MEMORY
from shopflow.kit.settings import (
    Environment,
    environment,
    one_of,
    port,
    postgres_url,
    rate,
    setting,
    whole,
    words,
)

SAFE_SECRET: Final = 32
"""Bytes of a signing secret below which production refuses to start (R21)."""

SAFE_COST: Final = 12
"""The bcrypt cost that PRD 10.5 demands; only tests may use less (R16)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one auth-service process."""

    database_url: str = setting(
        "DATABASE_URL", "PostgreSQL connection string", parse=postgres_url, secret=True, file=True
    )
    jwt_secret: str = setting("JWT_SECRET", "secret that signs the tokens; at least 32 bytes", secret=True, file=True)
    port: int = setting("PORT", "HTTP listen port", parse=port, default="3001")
    host: str = setting("HOST", "address to listen on", default="127.0.0.1")
    log_level: str = setting("LOG_LEVEL", "logging verbosity", parse=one_of(*logs.LEVELS), default="info")
    env: Environment = setting(
        "SHOPFLOW_ENV", "development, test or production", parse=environment, default=Environment.DEVELOPMENT
    )
    bcrypt_cost: int = setting(
        "BCRYPT_COST", "cost of a password hash; below 12 only in tests", parse=whole(4, 20), default=str(SAFE_COST)
    )
    rate_limit: str | None = setting(
        "RATE_LIMIT_AUTH",
        "calls per address, and per user for profiles; off lifts it",
        parse=rate,
        default="100/minute",
    )
    rate_limit_storage_url: str = setting(
        "RATE_LIMIT_STORAGE_URL", "where calls are counted; memory, or a store that instances share", default=MEMORY
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", "web origins that may call from a browser, separated by commas", parse=words, default=""
    )
    shutdown_delay: int = setting(
        "SHUTDOWN_DELAY",
        "seconds between being told to stop and accepting nothing new",
        parse=whole(0, 60),
        default="0",
    )

    def __post_init__(self) -> None:
        mistakes = []
        if self.env is Environment.PRODUCTION and not self.has_safe_secret:
            mistakes.append(f"JWT_SECRET must have at least {SAFE_SECRET} bytes in production")
        if self.env is not Environment.TEST and self.bcrypt_cost < SAFE_COST:
            mistakes.append(f"BCRYPT_COST must be at least {SAFE_COST} unless SHOPFLOW_ENV is test")
        if mistakes:
            raise ValueError("\n".join(mistakes))

    @property
    def has_safe_secret(self) -> bool:
        """Whether the secret is long enough not to be guessed from one token (R21)."""
        return len(self.jwt_secret.encode()) >= SAFE_SECRET
