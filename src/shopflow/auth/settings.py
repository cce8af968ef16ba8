"""What auth-service reads from its environment: PRD Appendix A, and the documented extras."""

from dataclasses import dataclass
from typing import Final

from shopflow.kit.service_settings import ServiceSettings, listen_port
from shopflow.kit.settings import Environment, rate, setting, whole

SAFE_SECRET: Final = 32
"""Bytes of a signing secret below which production refuses to start (R21)."""

SAFE_COST: Final = 12
"""The bcrypt cost that PRD 10.5 demands; only tests may use less (R16)."""


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of one auth-service process."""

    port: int = listen_port(3001)
    jwt_secret: str = setting("JWT_SECRET", "secret that signs the tokens; at least 32 bytes", secret=True, file=True)
    jwt_secret_previous: str | None = setting(
        "JWT_SECRET_PREVIOUS", "a secret whose tokens hold too, while secrets are changed", secret=True, file=True,
        optional=True,
    )  # fmt: skip
    bcrypt_cost: int = setting(
        "BCRYPT_COST", "cost of a password hash; below 12 only in tests", parse=whole(4, 20), default=str(SAFE_COST)
    )
    common_passwords: frozenset[str] = setting(
        "COMMON_PASSWORDS", "passwords that nobody may choose, in any case, separated by blanks or lines",
        parse=_listed, default="", file=True,
    )  # fmt: skip
    rate_limit: str | None = setting(
        "RATE_LIMIT_AUTH", "calls per address, and per user for profiles; off lifts it", parse=rate,
        default="100/minute",
    )  # fmt: skip

    def __post_init__(self) -> None:
        mistakes = []
        if self.env is Environment.PRODUCTION:
            mistakes += self._unsafe_secrets()
        if self.env is not Environment.TEST and self.bcrypt_cost < SAFE_COST:
            mistakes.append(f"BCRYPT_COST must be at least {SAFE_COST} unless SHOPFLOW_ENV is test")
        if mistakes:
            raise ValueError("\n".join(mistakes))

    @property
    def has_safe_secret(self) -> bool:
        """Whether every secret is long enough not to be guessed from one token (R21)."""
        return _is_safe(self.jwt_secret) and _is_safe(self.jwt_secret_previous or self.jwt_secret)

    def _unsafe_secrets(self) -> list[str]:
        """What production refuses: a secret that can be guessed, and a change of secrets that changes nothing (A14)."""
        given = {"JWT_SECRET": self.jwt_secret, "JWT_SECRET_PREVIOUS": self.jwt_secret_previous}
        mistakes = [
            f"{name} must have at least {SAFE_SECRET} bytes in production"
            for name, secret in given.items()
            if secret is not None and not _is_safe(secret)
        ]
        if self.jwt_secret == self.jwt_secret_previous:
            mistakes.append("JWT_SECRET_PREVIOUS must not be JWT_SECRET: leave it out when no secret is being changed")
        return mistakes


def _is_safe(secret: str) -> bool:
    return len(secret.encode()) >= SAFE_SECRET
