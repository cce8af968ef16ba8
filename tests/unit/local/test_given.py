"""What the environment of `up` decides, and the one line that tells what is wrong with it."""

from pathlib import Path

import pytest

from shopflow.local import given
from shopflow.local.environments import Addresses, for_service
from shopflow.local.failures import LocalFailure
from shopflow.local.given import Given
from shopflow.local.sandbox.sns import TOPIC
from shopflow.local.secrets import Secrets

HERE = Path("/somewhere")
TWILIO = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM_NUMBER": "+15550001234"}
SES = {"AWS_SES_REGION": "eu-west-1", "AWS_SES_FROM_EMAIL": "shop@shopflow.example"}
ADDRESSES = Addresses(
    {"auth": "postgresql://a", "orders": "postgresql://o", "notifications": "postgresql://n"}, "amqp://b"
)


def _given(**environment: str) -> Given:
    return given.read(environment, working_folder=HERE)


def _environment(service: str, **environment: str) -> dict[str, str]:
    return for_service(
        service, given=_given(**environment), secrets=Secrets(), addresses=ADDRESSES, secrets_folder=Path("/s")
    )


def test_an_empty_environment_means_our_own_servers_the_sandbox_and_ports_from_3000() -> None:
    decided = _given(RABBITMQ_URL="", DATABASE_URL_AUTH="")
    assert decided.home == HERE / ".shopflow"
    assert [decided.port(part) for part in ("auth", "orders", "notifications", "mailbox")] == [3001, 3002, 3003, 3010]
    assert (decided.rabbitmq_url, dict(decided.database_urls)) == (None, {})
    assert (decided.real_mail, decided.real_sms) == (False, False)


def test_the_port_base_moves_every_port_and_the_sandbox_with_them() -> None:
    decided = _given(SHOPFLOW_PORT_BASE="4000")
    assert decided.url("mailbox") == "http://127.0.0.1:4010"
    assert (
        decided.providers["TWILIO_BASE_URL"] == decided.providers["AWS_ENDPOINT_URL_SESV2"] == "http://127.0.0.1:4010"
    )
    assert decided.providers["AWS_ENDPOINT_URL_SNS"] == "http://127.0.0.1:4010"


def test_the_services_hear_of_the_topic_for_which_the_sandbox_signs() -> None:
    assert _given().providers["AWS_SNS_TOPIC_ARN"] == TOPIC


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SHOPFLOW_PORT_BASE": "80"}, "SHOPFLOW_PORT_BASE"),
        ({"SHOPFLOW_PORT_BASE": "many"}, "SHOPFLOW_PORT_BASE"),
        ({"SHOPFLOW_PORT_BASE": "65530"}, "SHOPFLOW_PORT_BASE"),
        ({"DATABASE_URL_ORDERS": "mysql://x"}, "DATABASE_URL_ORDERS"),
        ({"RABBITMQ_URL": "127.0.0.1:5672"}, "RABBITMQ_URL"),
        ({"AWS_SES_REGION": "eu-west-1"}, "AWS_SES_FROM_EMAIL missing"),
        ({"TWILIO_AUTH_TOKEN": "t"}, "TWILIO_ACCOUNT_SID, TWILIO_FROM_NUMBER missing"),
        ({"SHOPFLOW_ENV": "production"}, "AWS_SES_REGION"),
        ({"SHOPFLOW_ENV": "production", **SES}, "TWILIO_ACCOUNT_SID"),
    ],
)
def test_a_mistake_is_refused_by_a_line_that_names_the_variable(environment: dict[str, str], named: str) -> None:
    with pytest.raises(LocalFailure, match=named):
        given.read(environment, working_folder=HERE)


def test_complete_provider_settings_make_delivery_real_and_keep_the_sandbox_out() -> None:
    decided = _given(**SES, **TWILIO, AWS_PROFILE="shop", SHOPFLOW_ENV="production")
    assert (decided.real_mail, decided.real_sms) == (True, True)
    assert dict(decided.providers) == SES | TWILIO | {"AWS_PROFILE": "shop"}


def test_the_sandbox_never_sees_a_real_credential() -> None:
    providers = _given(AWS_SECRET_ACCESS_KEY="real", AWS_PROFILE="real").providers
    assert "real" not in providers.values()


def test_servers_that_are_given_replace_ours_one_by_one() -> None:
    decided = _given(DATABASE_URL_ORDERS="postgres://elsewhere/orders", RABBITMQ_URL="amqps://elsewhere")
    assert decided.database_urls == {"orders": "postgres://elsewhere/orders"}
    assert decided.rabbitmq_url == "amqps://elsewhere"


def test_only_auth_learns_the_secret_that_signs_tokens() -> None:
    assert _environment("auth", JWT_SECRET="chosen")["JWT_SECRET"] == "chosen"
    for service in ("orders", "notifications"):
        assert not {"JWT_SECRET", "JWT_SECRET_PREVIOUS"} & _environment(service, JWT_SECRET_PREVIOUS="old").keys()


def test_each_service_gets_the_variables_of_appendix_a_and_no_stray_ones() -> None:
    shared = {"DATABASE_URL", "PORT", "LOG_LEVEL", "SHOPFLOW_ENV"}
    orders = shared | {"AUTH_SERVICE_URL", "AUTH_SERVICE_TOKEN_FILE", "RABBITMQ_URL"}
    notifications = orders | {"ORDER_SERVICE_URL", "ORDER_SERVICE_TOKEN_FILE", *SES, *TWILIO}
    assert _environment("auth", STRAY="x").keys() == shared | {"JWT_SECRET"}
    assert _environment("orders", STRAY="x").keys() == orders
    assert _environment("notifications").keys() >= notifications
    assert _environment("notifications")["DATABASE_URL"] == "postgresql://n"


def test_the_documented_extras_are_handed_on() -> None:
    environment = _environment("orders", CORS_ORIGINS="https://shop.example", OTEL_SERVICE_NAME="x", LOG_LEVEL="debug")
    assert (environment["CORS_ORIGINS"], environment["LOG_LEVEL"]) == ("https://shop.example", "debug")
    assert environment["OTEL_SERVICE_NAME"] == "x"


def test_decisions_do_not_show_secrets_when_printed() -> None:
    shown = repr(_given(JWT_SECRET="hidden-1", DATABASE_URL_AUTH="postgresql://u:hidden-2@h/d")) + repr(
        Secrets("hidden-3")
    )
    assert "hidden" not in shown
