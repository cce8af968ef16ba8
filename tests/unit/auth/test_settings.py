"""What auth-service refuses to start with, and that it says everything at once."""

from pathlib import Path

import pytest

from shopflow.auth.settings import Settings
from shopflow.kit.settings import SettingsError, read

GOOD = {"DATABASE_URL": "postgresql://auth:secret@127.0.0.1/auth", "JWT_SECRET": "s" * 32}


def test_the_variables_of_the_contract_are_enough() -> None:
    settings = read(Settings, GOOD)
    assert (settings.port, settings.log_level, settings.bcrypt_cost, settings.rate_limit) == (
        3001,
        "info",
        12,
        "100/minute",
    )


def test_everything_missing_or_wrong_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read(Settings, {"PORT": "http", "LOG_LEVEL": "loud", "RATE_LIMIT_AUTH": "often"})
    assert sorted(line.split()[0] for line in caught.value.mistakes) == [
        "DATABASE_URL",
        "JWT_SECRET",
        "LOG_LEVEL",
        "PORT",
        "RATE_LIMIT_AUTH",
    ]


def test_production_refuses_a_short_secret_and_development_takes_it() -> None:
    short = GOOD | {"JWT_SECRET": "short"}
    assert not read(Settings, short).has_safe_secret
    with pytest.raises(SettingsError, match="JWT_SECRET must have at least 32 bytes in production"):
        read(Settings, short | {"SHOPFLOW_ENV": "production"})


@pytest.mark.parametrize("env", ["development", "production"])
def test_only_tests_may_lower_the_cost_of_a_hash(env: str) -> None:
    with pytest.raises(SettingsError, match="BCRYPT_COST must be at least 12"):
        read(Settings, GOOD | {"BCRYPT_COST": "11", "SHOPFLOW_ENV": env})
    assert read(Settings, GOOD | {"BCRYPT_COST": "4", "SHOPFLOW_ENV": "test"}).bcrypt_cost == 4


def test_a_secret_never_shows() -> None:
    shown = repr(read(Settings, GOOD | {"JWT_SECRET_PREVIOUS": "t" * 32}))
    assert "s" * 32 not in shown
    assert "t" * 32 not in shown
    assert "secret" not in shown


def test_production_refuses_a_change_of_secrets_that_changes_nothing_or_trusts_a_short_one() -> None:
    production = GOOD | {"SHOPFLOW_ENV": "production"}
    assert read(Settings, production | {"JWT_SECRET_PREVIOUS": "t" * 32}).jwt_secret_previous == "t" * 32
    with pytest.raises(SettingsError, match="JWT_SECRET_PREVIOUS must not be JWT_SECRET"):
        read(Settings, production | {"JWT_SECRET_PREVIOUS": "s" * 32})
    with pytest.raises(SettingsError, match="JWT_SECRET_PREVIOUS must have at least 32 bytes"):
        read(Settings, production | {"JWT_SECRET_PREVIOUS": "short"})
    assert read(Settings, GOOD | {"JWT_SECRET_PREVIOUS": "s" * 32}).has_safe_secret
    assert not read(Settings, GOOD | {"JWT_SECRET_PREVIOUS": "short"}).has_safe_secret


def test_secrets_may_come_from_mounted_files(tmp_path: Path) -> None:
    named = {"JWT_SECRET_FILE": "s" * 40, "JWT_SECRET_PREVIOUS_FILE": "t" * 40}
    for name, text in named.items():
        (tmp_path / name).write_text(text + "\n")
    files = {name: str(tmp_path / name) for name in named}
    settings = read(Settings, {"DATABASE_URL": GOOD["DATABASE_URL"]} | files)
    assert (settings.jwt_secret, settings.jwt_secret_previous) == ("s" * 40, "t" * 40)
