"""What auth-service reads from its environment: PRD Appendix A, and the documented extras."""

from dataclasses import dataclass
from typing import Final

from shopflow.kit.service_settings import ServiceSettings, listen_port
from shopflow.kit.settings import Environment, rate, setting, whole

SAFE_SECRET: Final = 32
"""Bytes of a signing secret below which production refuses to start (R21)."""

SAFE_COST: Final = 12
"""The bcrypt cost that PRD 10.5 demands; only tests may use less (R16)."""


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of one auth-service process."""

    port: int = listen_port(3001)
    jwt_secret: str = setting("JWT_SECRET", "secret that signs the tokens; at least 32 bytes", secret=True, file=True)
    bcrypt_cost: int = setting(
        "BCRYPT_COST", "cost of a password hash; below 12 only in tests", parse=whole(4, 20), default=str(SAFE_COST)
    )
    rate_limit: str | None = setting(
        "RATE_LIMIT_AUTH", "calls per address, and per user for profiles; off lifts it", parse=rate,
        default="100/minute",
    )  # fmt: skip

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
