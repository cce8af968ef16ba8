"""The platform that is attacked, as `up.json` describes it, and what its owner can see of it from inside."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICES = ("auth", "orders", "notifications")


class NothingRuns(Exception):
    """There is no platform to attack. The message says where none was found."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where everything is. `home` is None for a target that is only a few addresses."""

    bases: dict[str, str]
    admin: dict[str, str]
    postgres: dict[str, str]
    rabbitmq: str
    pids: dict[str, int]
    home: Path | None = None

    @property
    def log_files(self) -> list[Path]:
        """What the platform has written down so far."""
        return sorted(self.home.glob("logs/*.log*")) if self.home else []

    @property
    def secrets(self) -> dict[str, str]:
        """Everything secret that the platform keeps, by name, to be looked for where it must not be."""
        found = dict(_leaves("", {"admin": {"password": self.admin.get("password", "")}}))
        for path in sorted(self.home.glob("secrets/*")) if self.home else []:
            text = path.read_text(encoding="utf-8").strip()
            kept = _leaves(path.stem, json.loads(text)) if path.suffix == ".json" else [(path.stem, text)]
            found.update({name: value for name, value in kept if len(value) >= 12})
        return {name: value for name, value in found.items() if value}

    @property
    def signing_secret(self) -> bytes | None:
        """The secret that signs tokens: some attacks ask what a thief of it could do."""
        named = [value for name, value in self.secrets.items() if "jwt" in name.lower()]
        return named[0].encode() if named else None

    def service_token(self, name: str) -> str | None:
        """A service's own token, as somebody who broke into that service would have it."""
        return next((value for key, value in self.secrets.items() if key.startswith(name)), None)


def found(home: Path) -> Target:
    """The platform whose state lies in `home`.

    Raises:
        NothingRuns: there is none, or it is not up.
    """
    try:
        up: dict[str, Any] = json.loads((home / "up.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NothingRuns(f"nothing runs in {home}: start it with `make up`, or name its folder with --home") from error
    bases = {name: up[name] for name in (*SERVICES, "mailbox", "console") if name in up}
    return Target(bases, up["admin"], up["postgres"], up["rabbitmq"], up["pids"], home)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name} {key}".strip(), inner)
    elif isinstance(value, str):
        yield name, value
