"""Settings that several commands read from the environment; a mistake ends the command with exit status 2."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shopflow.kit.settings import SettingsError, amqp_url, postgres_url, read, setting, variables
from shopflow.local import given
from shopflow.local.home import Home

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Database:
    url: str = setting("DATABASE_URL", "PostgreSQL connection string", parse=postgres_url, secret=True, file=True)


@dataclass(frozen=True, kw_only=True)
class _Secret:
    secret: str = setting("JWT_SECRET", "secret that signs tokens", secret=True, file=True)


@dataclass(frozen=True, kw_only=True)
class _Broker:
    url: str = setting("RABBITMQ_URL", "the broker that events come from", parse=amqp_url, secret=True)


@dataclass(frozen=True, kw_only=True)
class Databases:
    """The databases of the services that have to do with an order, for commands that work across them (R78)."""

    orders: str = setting("DATABASE_URL_ORDERS", "order-service's database", parse=postgres_url, secret=True, file=True)
    notifications: str = setting(
        "DATABASE_URL_NOTIFICATIONS", "notification-service's database", parse=postgres_url, secret=True, file=True
    )


def databases(environ: Mapping[str, str]) -> Databases:
    """The databases that are named, or else those of the platform that runs in `$SHOPFLOW_HOME`."""
    names = [each.name for each in variables(Databases)]
    named = any(environ.get(name) or environ.get(f"{name}_FILE") for name in names)
    running = None if named else Home(given.home(environ, working_folder=Path.cwd())).up()
    if not named and running is None:
        sys.stderr.write(f"Set {' and '.join(names)}, or SHOPFLOW_HOME to where `shopflow up` runs.\n")
        raise SystemExit(2)
    if running is None:
        return _read(Databases, environ)
    return Databases(orders=running["postgres"]["orders"], notifications=running["postgres"]["notifications"])


def rabbitmq_url(environ: Mapping[str, str]) -> str:
    """The broker that RABBITMQ_URL names."""
    return _read(_Broker, environ).url


def database_url(environ: Mapping[str, str]) -> str:
    """The database that DATABASE_URL names."""
    return _read(_Database, environ).url


def jwt_secret(environ: Mapping[str, str]) -> str:
    """The secret that JWT_SECRET holds."""
    return _read(_Secret, environ).secret


def _read(settings_class: type[T], environ: Mapping[str, str]) -> T:
    try:
        return read(settings_class, environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
