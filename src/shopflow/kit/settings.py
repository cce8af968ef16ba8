"""Settings: frozen classes read once from the environment, every mistake in them reported together.

A service declares one dataclass whose fields are made by `setting`. Values come from the variable itself or, where the
setting allows it, from the file that the variable with `_FILE` behind its name points to (mounted secrets).
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

S = TypeVar("S")

_KEY: Final = "setting"


class Environment(StrEnum):
    """What kind of place this is: `production` refuses what only development may do."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable: its name, meaning, default as text (None: required or absent), and reader."""

    name: str
    meaning: str
    default: str | None
    required: bool
    secret: bool
    file: bool
    unless: str | None
    parse: Callable[[str], Any]


class SettingsError(Exception):
    """The environment does not make a valid set of settings. `mistakes` holds one line for each variable."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def setting(
    name: str,
    meaning: str,
    *,
    parse: Callable[[str], Any] = str,
    default: str | None = None,
    optional: bool = False,
    secret: bool = False,
    file: bool = False,
    unless: str | None = None,
) -> Any:
    """A field of a settings class, read from the variable `name`.

    Args:
        name: the variable.
        meaning: one line for `shopflow settings`.
        parse: text → value; raises ValueError whose message completes "NAME …", without the value.
        default: the text used when the variable is unset or empty.
        optional: unset means None; otherwise a setting without a default is required.
        secret: never shown.
        file: `NAME_FILE` may name a file that holds the value.
        unless: another variable that does instead: unset means None then.
    """
    variable = Variable(
        name=name,
        meaning=meaning,
        default=default,
        required=default is None and not optional,
        secret=secret,
        file=file,
        unless=unless,
        parse=parse,
    )
    return dataclasses.field(metadata={_KEY: variable}, repr=not secret)


def variables(settings_class: type[Any]) -> list[Variable]:
    """Every variable that a settings class reads, in order of declaration."""
    return [field.metadata[_KEY] for field in dataclasses.fields(settings_class) if _KEY in field.metadata]


def read(settings_class: type[S], environ: Mapping[str, str]) -> S:
    """The settings that an environment holds.

    Raises:
        SettingsError: with one line for every variable that is missing or wrong.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for field in dataclasses.fields(settings_class):  # type: ignore[arg-type]
        variable: Variable = field.metadata[_KEY]
        try:
            values[field.name] = _value(variable, environ)
        except ValueError as error:
            mistakes.append(f"{variable.name} {error}")
    if not mistakes:
        try:
            return settings_class(**values)
        except ValueError as error:  # rules between several settings, from __post_init__
            mistakes.extend(str(error).splitlines())
    raise SettingsError(mistakes)


def _value(variable: Variable, environ: Mapping[str, str]) -> Any:
    text = environ.get(variable.name) or None
    path = environ.get(f"{variable.name}_FILE") if variable.file else None
    if text is None and path:
        text = _content(Path(path))
    if text is None:
        if variable.required and not (variable.unless and environ.get(variable.unless)):
            instead = variable.unless or (f"{variable.name}_FILE" if variable.file else None)
            raise ValueError("is missing" + (f" (or {instead})" if instead else ""))
        if variable.default is None:
            return None
        text = variable.default
    return variable.parse(text)


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"names a file that cannot be read ({type(error).__name__})") from None


def masked(variable: Variable, environ: Mapping[str, str]) -> str | None:
    """What a variable is set to, for showing: secrets and the passwords inside URLs are masked."""
    text = environ.get(variable.name)
    if not text:
        return None
    if variable.secret and "://" not in text:
        return "********"
    return re.sub(r"(?<=://)([^:/@]*):[^@]*@", r"\1:********@", text)


def port(text: str) -> int:
    """A TCP port."""
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError("must be a port: a whole number from 1 to 65535")
    return int(text)


def url(*schemes: str) -> Callable[[str], str]:
    """A reader of URLs of these schemes, with a host; a slash at the end is dropped."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            well_formed = parts.scheme in schemes and (bool(parts.hostname) or "host=" in parts.query)
            _ = parts.port
        except ValueError:
            well_formed = False
        if not well_formed:
            raise ValueError(f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text.rstrip("/")

    return parse


postgres_url = url("postgres", "postgresql")
amqp_url = url("amqp", "amqps")
http_url = url("http", "https")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """A reader of words from a closed set, any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def environment(text: str) -> Environment:
    """The kind of place: development, test or production."""
    return Environment(one_of(*Environment)(text))


def words(text: str) -> tuple[str, ...]:
    """A comma-separated list; blanks around the entries are dropped."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def origins(text: str) -> tuple[str, ...]:
    """Web origins exactly as browsers send them: no path, no slash at the end, no wildcard (R68)."""
    listed = words(text)
    if not all(re.fullmatch(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?", each, re.ASCII) for each in listed):
        raise ValueError("must be origins such as https://shop.example, separated by commas")
    return listed


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks, such as `10.0.0.0/8, 2001:db8::1`; none of them may be everybody's."""
    try:
        listed = tuple(ip_network(word) for word in words(text))
    except ValueError:
        listed = None
    if listed is None or not all(network.prefixlen for network in listed):
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas, and not all addresses")
    return listed


def rate(text: str) -> str | None:
    """A rate limit such as `100/minute`; `off` means none."""
    if text.lower() == "off":
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)", text):
        raise ValueError("must be a rate such as 100/minute, or off")
    return text
