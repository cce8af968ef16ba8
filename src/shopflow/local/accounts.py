"""Which account the embedded servers run as. PostgreSQL refuses root, and RabbitMQ has no business being root;
no account is ever created and no folder outside our own has its mode changed."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shopflow.local.failures import LocalFailure

UNPRIVILEGED = ("nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Account:
    """An existing unprivileged account."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account for the servers: None (ourselves) unless we are root. Raises LocalFailure where none exists."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LocalFailure(
        f"PostgreSQL will not run as root and no account of {', '.join(UNPRIVILEGED)} exists: run as an ordinary user"
    )


def reaches(account: Account | None, folder: Path) -> bool:
    """Whether the account may enter `folder` and read it; asked of the system itself, so that ACLs count too."""
    if account is None:
        return os.access(folder, os.R_OK | os.X_OK)
    test = ["/bin/sh", "-c", 'test -r "$0" && test -x "$0"', str(folder)]
    asked = subprocess.run(
        test, user=account.uid, group=account.gid, extra_groups=[], check=False, cwd="/", stderr=subprocess.DEVNULL
    )
    return asked.returncode == 0


def own(account: Account | None, path: Path) -> None:
    """Give `path`, one of ours, to the account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def private_folder(account: Account | None, folder: Path) -> Path:
    """Make `folder` (its parents exist) if missing: mode 0700, owned by the account. Returns it."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        own(account, folder)
    return folder


def private_file(account: Account | None, path: Path, text: str, *, mode: int = 0o600) -> Path:
    """Write `path` whole or not at all, readable by the account only from the first byte on. Returns it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    own(account, draft)
    draft.replace(path)
    return path
