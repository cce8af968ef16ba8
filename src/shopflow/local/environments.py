"""The environment of every program that `up` starts: the variables of PRD Appendix A and the documented extras only,
so that a service on one machine reads what it reads in production. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shopflow.local.given import Given
from shopflow.local.secrets import Secrets

AUTH_ONLY = frozenset({"JWT_SECRET_PREVIOUS", "BCRYPT_COST", "COMMON_PASSWORDS_FILE", "RATE_LIMIT_AUTH"})
TOKEN_HOLDERS = ("order-service", "notification-service")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the databases and the broker are once they run."""

    databases: Mapping[str, str]
    rabbitmq: str


def jwt_secret(given: Given, secrets: Secrets) -> str:
    """The secret that signs this platform's tokens: the one given, else our own."""
    return given.jwt_secret or secrets.jwt_secret


def token_file(folder: Path, holder: str) -> Path:
    """Where a service finds its token for the other services; it re-reads the file."""
    return folder / f"{holder}.token"


def for_command(given: Given, **variables: str) -> dict[str, str]:
    """For a command that ends, such as a migration."""
    return {**_shared(given), **variables}


def for_service(
    service: str, *, given: Given, secrets: Secrets, addresses: Addresses, secrets_folder: Path
) -> dict[str, str]:
    """For one of the three services."""
    environment = _shared(given) | {"PORT": str(given.port(service)), "DATABASE_URL": addresses.databases[service]}
    if service == "auth":
        keys = {name: value for name, value in given.handed_on.items() if name in AUTH_ONLY}
        return environment | keys | {"JWT_SECRET": jwt_secret(given, secrets)}
    token = str(token_file(secrets_folder, "order-service" if service == "orders" else "notification-service"))
    environment |= {
        "AUTH_SERVICE_URL": given.url("auth"),
        "AUTH_SERVICE_TOKEN_FILE": token,
        "RABBITMQ_URL": addresses.rabbitmq,
    }
    if service == "notifications":
        environment |= {"ORDER_SERVICE_URL": given.url("orders"), "ORDER_SERVICE_TOKEN_FILE": token}
        environment |= given.providers
    return environment


def _shared(given: Given) -> dict[str, str]:
    defaults = {"SHOPFLOW_ENV": "development", "LOG_LEVEL": "info"}
    return defaults | {name: value for name, value in given.handed_on.items() if name not in AUTH_ONLY}
