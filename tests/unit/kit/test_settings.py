"""Settings: read once, every mistake named together, secrets never shown."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shopflow.kit import settings
from shopflow.kit.service_settings import ServiceSettings
from shopflow.kit.settings import Environment, SettingsError, masked, read, setting, variables


@dataclass(frozen=True, kw_only=True)
class Sample:
    database_url: str = setting("DATABASE_URL", "database", parse=settings.postgres_url, secret=True, file=True)
    port: int = setting("PORT", "port", parse=settings.port, default="3001")
    token: str | None = setting("TOKEN", "token", optional=True, secret=True)
    env: Environment = setting("SHOPFLOW_ENV", "place", parse=settings.environment, default="development")
    origins: tuple[str, ...] = setting("CORS_ORIGINS", "origins", parse=settings.origins, default=",")
    rate: str | None = setting("RATE", "limit", parse=settings.rate, default="100/minute")
    count: int = setting("COUNT", "count", parse=settings.whole(0, 9), default="3")


GOOD = {"DATABASE_URL": "postgresql://u:p@localhost:5432/d"}


def mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(Sample, environ)
    return caught.value.mistakes


def test_defaults_stand_where_nothing_is_set() -> None:
    sample = read(Sample, GOOD)
    assert (sample.port, sample.token, sample.env, sample.origins, sample.rate) == (
        3001, None, Environment.DEVELOPMENT, (), "100/minute",
    )  # fmt: skip


def test_all_mistakes_are_reported_together_without_values() -> None:
    found = mistakes({"DATABASE_URL": "mysql://secret", "PORT": "70000", "SHOPFLOW_ENV": "prod", "RATE": "lots"})
    assert [line.split()[0] for line in found] == ["DATABASE_URL", "PORT", "SHOPFLOW_ENV", "RATE"]
    assert "secret" not in "".join(found)


def test_an_empty_variable_counts_as_unset() -> None:
    assert mistakes({"DATABASE_URL": ""}) == ["DATABASE_URL is missing (or DATABASE_URL_FILE)"]


def test_a_file_stands_in_for_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(GOOD["DATABASE_URL"] + "\n")
    assert read(Sample, {"DATABASE_URL_FILE": str(file)}).database_url == GOOD["DATABASE_URL"]
    assert "cannot be read" in mistakes({"DATABASE_URL_FILE": str(tmp_path / "none")})[0]


def test_off_lifts_a_rate() -> None:
    assert read(Sample, {**GOOD, "RATE": "off"}).rate is None


@pytest.mark.parametrize("port", ["0", "65536", "-1", "1.0", "x", "٣٠٠١", "1" * 5000])
def test_what_is_no_port_is_refused(port: str) -> None:
    assert mistakes({**GOOD, "PORT": port})[0].startswith("PORT must be a port")


@pytest.mark.parametrize("url", ["", "postgres://", "http://x/", "postgresql://h:port/d", "postgresql://[/d"])
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    assert mistakes({"DATABASE_URL": url})[0].startswith("DATABASE_URL")


def test_origins_are_what_a_browser_sends() -> None:
    given = "https://shop.example, http://localhost:8080,https://[::1]:3000,"
    assert read(Sample, {**GOOD, "CORS_ORIGINS": given}).origins == (
        "https://shop.example", "http://localhost:8080", "https://[::1]:3000",
    )  # fmt: skip


@pytest.mark.parametrize(
    "origin",
    ["*", "shop.example", "https://shop.example/", "https://Shop.example", "https://*.shop.example", "ftp://x", "null"],
)
def test_what_no_browser_sends_as_origin_is_refused(origin: str) -> None:
    assert mistakes({**GOOD, "CORS_ORIGINS": f"https://fine.example,{origin}"})[0].startswith("CORS_ORIGINS must be")


def test_secrets_are_masked_wherever_they_are_shown() -> None:
    by_name = {variable.name: variable for variable in variables(Sample)}
    environ = {"DATABASE_URL": "postgresql://user:hunter2@host/d", "TOKEN": "hunter2"}
    assert masked(by_name["DATABASE_URL"], environ) == "postgresql://user:********@host/d"
    assert masked(by_name["TOKEN"], environ) == "********"
    assert "hunter2" not in repr(read(Sample, environ))


def test_what_may_stand_instead_is_named_with_what_is_missing() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Either:
        token: str | None = setting("TOKEN", "token", unless="TOKEN_FILE", secret=True)
        token_file: str | None = setting("TOKEN_FILE", "its file", optional=True)

    with pytest.raises(SettingsError, match=r"TOKEN is missing \(or TOKEN_FILE\)"):
        read(Either, {})
    assert read(Either, {"TOKEN_FILE": "f"}).token is None


def test_a_store_of_counts_that_cannot_be_opened_is_a_mistake_not_a_crash() -> None:
    wrong = (
        "nonsense",
        "memcached://x",
        "valkey://",
        "redis://h/x",
        "redis://h:99999",
        "valkeys://h?ssl_cert_reqs=none",
    )
    for url in wrong:
        with pytest.raises(SettingsError, match="RATE_LIMIT_STORAGE_URL must be memory://"):
            read(ServiceSettings, {**GOOD, "RATE_LIMIT_STORAGE_URL": url})


@pytest.mark.parametrize(
    "url", ["memory://", "valkey://h", "redis://u:p@h:1/2", "valkeys://:p@h/0", "rediss://[::1]:6379"]
)
def test_a_store_of_counts_is_memory_or_a_valkey_or_redis_whose_password_is_not_shown(url: str) -> None:
    settings = read(ServiceSettings, {**GOOD, "RATE_LIMIT_STORAGE_URL": url})
    assert settings.rate_limit_storage_url == url
    assert url not in repr(settings)


def test_trusted_proxies_are_addresses_and_networks() -> None:
    given = "10.0.0.0/8, 192.0.2.7,2001:db8::/32 , ::1,"
    found = read(ServiceSettings, {**GOOD, "TRUSTED_PROXIES": given}).trusted_proxies
    assert [str(each) for each in found] == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"]
    assert read(ServiceSettings, GOOD).trusted_proxies == ()


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example", "10.0.0.0/33", "10.0.0", "*"])
def test_a_trusted_proxy_is_never_everybody_and_never_a_guess(network: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(ServiceSettings, {**GOOD, "TRUSTED_PROXIES": f"10.0.0.0/8,{network}"})
    assert caught.value.mistakes[0].startswith("TRUSTED_PROXIES must be")
