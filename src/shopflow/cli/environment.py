"""Settings that several commands read from the environment; a mistake ends the command with exit status 2."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from shopflow.kit.settings import SettingsError, amqp_url, postgres_url, read, setting

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
