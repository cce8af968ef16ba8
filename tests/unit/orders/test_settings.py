"""What order-service reads from its environment."""

import pytest

from shopflow.kit.settings import SettingsError, read
from shopflow.orders.settings import Settings

LEAST = {
    "DATABASE_URL": "postgres://orders:secret@db/orders",
    "AUTH_SERVICE_URL": "http://auth:3001/",
    "RABBITMQ_URL": "amqp://guest:secret@broker/",
}


def test_the_prds_variables_are_enough_and_the_rest_has_defaults() -> None:
    settings = read(Settings, LEAST)
    assert (settings.port, settings.log_level, settings.auth_service_url) == (3002, "info", "http://auth:3001")
    assert (settings.rate_limit_orders, settings.auth_service_token) == ("1000/minute", None)
    assert "secret" not in repr(settings)


def test_everything_missing_or_wrong_is_told_at_once_without_its_value() -> None:
    wrong = {"AUTH_SERVICE_URL": "ftp://s3cret", "PORT": "http", "LOG_LEVEL": "loud", "RATE_LIMIT_ORDERS": "many"}
    with pytest.raises(SettingsError) as caught:
        read(Settings, wrong)
    names = sorted(mistake.split()[0] for mistake in caught.value.mistakes)
    assert names == ["AUTH_SERVICE_URL", "DATABASE_URL", "LOG_LEVEL", "PORT", "RABBITMQ_URL", "RATE_LIMIT_ORDERS"]
    assert "s3cret" not in str(caught.value)
