"""The secrets of one platform: made once from the system's randomness, kept in `$SHOPFLOW_HOME/secrets`, mode 0600."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex, token_urlsafe

from shopflow.local.accounts import private_file
from shopflow.local.failures import LocalFailure

FILE = "platform.json"


def _admin_password() -> str:
    """Random, and of every class that the password rule asks for."""
    return f"{token_urlsafe(12)}-Aa1!"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Everything here is random and never leaves the folder but through `up.json` and the screen of `up`."""

    jwt_secret: str = field(default_factory=lambda: token_hex(32), repr=False)
    postgres: str = field(default_factory=token_urlsafe, repr=False)
    auth: str = field(default_factory=token_urlsafe, repr=False)
    orders: str = field(default_factory=token_urlsafe, repr=False)
    notifications: str = field(default_factory=token_urlsafe, repr=False)
    rabbitmq: str = field(default_factory=token_urlsafe, repr=False)
    admin_password: str = field(default_factory=_admin_password, repr=False)


def load_or_make(folder: Path, *, data_exists: bool) -> Secrets:
    """The kept secrets, new ones at the first start. Raises LocalFailure if they are lost while the data are not."""
    file = folder / FILE
    if not file.exists():
        if data_exists:
            raise LocalFailure(
                f"{file} is missing but its databases are there: bring it back, or remove the data folder"
            )
        made = Secrets()
        private_file(None, file, json.dumps(dataclasses.asdict(made), indent=1) + "\n")
        return made
    try:
        return Secrets(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise LocalFailure(f"{file} cannot be read: bring back the one that `up` wrote") from error
