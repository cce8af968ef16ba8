"""What the environment of `up` asks for: ports, servers and providers of one's own, and what is handed on to the
services. Pure: it reads one mapping and decides; it starts nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shopflow.local.failures import LocalFailure

SERVICES = ("auth", "orders", "notifications")
MAILBOX_OFFSET = 10
LOWEST_BASE, HIGHEST_BASE = 1024, 65_525
DEFAULT_BASE = 3000

SYSTEM = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
NETWORK = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)
SERVICE = (
    *("SHOPFLOW_ENV", "LOG_LEVEL", "JWT_SECRET_PREVIOUS", "RATE_LIMIT_AUTH", "RATE_LIMIT_ORDERS"),
    *("RATE_LIMIT_STORAGE_URL", "BCRYPT_COST", "TRUSTED_PROXIES", "CORS_ORIGINS", "SHUTDOWN_DELAY", "ARCHIVE_URL"),
    *("RABBITMQ_QUEUE_TYPE", "NOTIFICATION_RETRY_DELAYS", "NOTIFICATION_CHANNEL_PAUSE", "NOTIFICATION_CALLBACKS_URL"),
    *("NOTIFICATION_EMAIL_IN_DOUBT", "NOTIFICATION_SMS_IN_DOUBT"),
    *("NOTIFICATION_REPLAY_INTERVAL", "NOTIFICATION_SWEEP_AFTER", "AWS_SES_MAX_PER_SECOND", "TWILIO_MAX_PER_SECOND"),
    "COMMON_PASSWORDS_FILE",
)  # not HOST: some shells export the machine's name by it, and what `up` starts is for this machine
SES = ("AWS_SES_REGION", "AWS_SES_FROM_EMAIL")
TWILIO = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM_NUMBER")

SANDBOX_SES = {
    "AWS_SES_REGION": "us-east-1",
    "AWS_SES_FROM_EMAIL": "noreply@shopflow.example",
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SNS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:shopflow-ses-events",
}
SANDBOX_TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "sandbox",
    "TWILIO_FROM_NUMBER": "+15550001234",
}


@dataclass(frozen=True, slots=True)
class Given:
    """The decisions taken from the environment. Addresses of servers are None or missing where ours are to be used."""

    home: Path
    port_base: int
    database_urls: Mapping[str, str] = field(repr=False)
    rabbitmq_url: str | None = field(repr=False)
    jwt_secret: str | None = field(repr=False)
    providers: Mapping[str, str] = field(repr=False)
    real_mail: bool
    real_sms: bool
    handed_on: Mapping[str, str] = field(repr=False)

    def port(self, part: str) -> int:
        """The port of a service or of the mailbox."""
        return self.port_base + (MAILBOX_OFFSET if part == "mailbox" else 1 + SERVICES.index(part))

    def url(self, part: str) -> str:
        """The address of a service or of the mailbox."""
        return f"http://127.0.0.1:{self.port(part)}"


def home(environment: Mapping[str, str], *, working_folder: Path) -> Path:
    """`$SHOPFLOW_HOME`, by default `.shopflow` in the working folder."""
    return working_folder / (environment.get("SHOPFLOW_HOME") or ".shopflow")


def read(environment: Mapping[str, str], *, working_folder: Path) -> Given:
    """Decide. Raises LocalFailure naming the variable that is wrong or missing."""
    present = {name: value for name, value in environment.items() if value}
    port_base = _port_base(present.get("SHOPFLOW_PORT_BASE", str(DEFAULT_BASE)))
    real_mail, real_sms = _complete(present, SES), _complete(present, TWILIO)
    if present.get("SHOPFLOW_ENV") == "production" and not (real_mail and real_sms):
        wanted = ", ".join((*SES, *TWILIO))
        raise LocalFailure(f"SHOPFLOW_ENV=production refuses the sandbox: give {wanted}, or unset SHOPFLOW_ENV")
    sandbox = f"http://127.0.0.1:{port_base + MAILBOX_OFFSET}"
    return Given(
        home=home(present, working_folder=working_folder),
        port_base=port_base,
        database_urls=_database_urls(present),
        rabbitmq_url=_address(present, "RABBITMQ_URL", schemes=("amqp", "amqps")),
        jwt_secret=present.get("JWT_SECRET"),
        providers=_mail(present, real=real_mail, sandbox=sandbox) | _sms(present, real=real_sms, sandbox=sandbox),
        real_mail=real_mail,
        real_sms=real_sms,
        handed_on={name: value for name, value in present.items() if _is_handed_on(name)},
    )


def _port_base(text: str) -> int:
    if text.isdecimal() and LOWEST_BASE <= int(text) <= HIGHEST_BASE:
        return int(text)
    raise LocalFailure(f"SHOPFLOW_PORT_BASE must be a number from {LOWEST_BASE} to {HIGHEST_BASE}")


def _complete(present: Mapping[str, str], names: tuple[str, ...]) -> bool:
    """Whether all are there. A part of them is a mistake: mail would go, or not go, where nobody expects it."""
    missing = [name for name in names if name not in present]
    if missing and len(missing) < len(names):
        raise LocalFailure(f"{', '.join(missing)} missing: give all of {', '.join(names)}, or none for the sandbox")
    return not missing


def _database_urls(present: Mapping[str, str]) -> dict[str, str]:
    addresses = {
        service: _address(present, f"DATABASE_URL_{service.upper()}", schemes=("postgresql", "postgres"))
        for service in SERVICES
    }
    return {service: address for service, address in addresses.items() if address is not None}


def _address(present: Mapping[str, str], name: str, *, schemes: tuple[str, ...]) -> str | None:
    address = present.get(name)
    if address is not None and not re.match(rf"({'|'.join(schemes)})://.", address):
        raise LocalFailure(f"{name} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return address


def _mail(present: Mapping[str, str], *, real: bool, sandbox: str) -> dict[str, str]:
    if real:
        return {name: value for name, value in present.items() if name.startswith("AWS_")}
    return SANDBOX_SES | {"AWS_ENDPOINT_URL_SESV2": sandbox, "AWS_ENDPOINT_URL_SNS": sandbox}


def _sms(present: Mapping[str, str], *, real: bool, sandbox: str) -> dict[str, str]:
    if real:
        return {name: present[name] for name in (*TWILIO, "TWILIO_BASE_URL") if name in present}
    return SANDBOX_TWILIO | {"TWILIO_BASE_URL": sandbox}


def _is_handed_on(name: str) -> bool:
    return name in {*SYSTEM, *NETWORK, *SERVICE} or name.startswith("OTEL_")
