"""`$SHOPFLOW_HOME`: one platform's folder. It owns what lies where, the lock against a second `up`, and the files that
tell other programs about a running platform. It starts and stops nothing."""

import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from shopflow.local.accounts import Account, private_file, reaches
from shopflow.local.failures import LocalFailure
from shopflow.local.processes import Identity, identify, is_alive

ELSEWHERE = Path("/var/lib/shopflow")  # for servers' data where their account cannot reach the home


@dataclass(frozen=True, slots=True)
class Running:
    """One child of a platform as its journal remembers it; `stop_signal` is what asks it to stop."""

    name: str
    pid: int
    started: str
    stop_signal: int

    @property
    def identity(self) -> Identity:
        """The process, safe against a pid that was given away."""
        return Identity(self.pid, self.started)


class Home:
    """The folder and what lies in it. Making the object touches nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.secrets = self.folder / "secrets"
        self.data = self.folder / "data"
        self.up_file = self.folder / "up.json"
        self._journal = self.folder / "children.json"
        self._ports = self.folder / "ports.json"
        self._lock = self.folder / "lock"

    def make(self) -> None:
        """Make the folders. Raises LocalFailure where they cannot be written or are another account's."""
        try:
            # Root's servers run as somebody else, who has to pass through; secrets have modes of their own.
            self.folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._check_owner()
            (self.folder / "lock").touch(mode=0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            line = f"{self.folder} cannot be written ({reason}): set SHOPFLOW_HOME to a folder that can"
            raise LocalFailure(line) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only `up` on this folder. Raises LocalFailure when there is another one."""
        with self._lock.open("r+", encoding="utf-8") as lock:
            if not _lock_now(lock):
                holder = self.holder()
                who = f" (pid {holder.pid})" if holder else ""
                raise LocalFailure(f"{self.folder} already runs a platform{who}: `shopflow down` stops it")
            _write_holder(lock)
            try:
                yield
            finally:
                lock.truncate(0)

    def is_held(self) -> bool:
        """Whether an `up` holds the folder now."""
        try:
            with self._lock.open("r+", encoding="utf-8") as lock:
                return not _lock_now(lock)
        except FileNotFoundError:
            return False

    def holder(self) -> Identity | None:
        """The `up` that runs on this folder; None when none does, or none that this system knows."""
        holder = _read(self._lock)
        process = Identity(**holder) if isinstance(holder, dict) and holder.keys() == {"pid", "started"} else None
        return process if process is not None and is_alive(process) else None

    def servers_folder(self, account: Account | None) -> Path:
        """Where the servers' data lies: `data` here, or the folder that `data` points to. Raises LocalFailure."""
        if self.data.is_symlink() and not self.data.is_dir():
            target = self.data.readlink()
            raise LocalFailure(f"{target} is gone: bring it back, or remove {self.data} to begin with empty databases")
        if not self.data.exists():
            self._make_data_folder(account)
        folder = self.data.resolve()  # the link itself may lie where the account cannot look
        if not reaches(account, folder):
            who = account.name if account else "this account"
            raise LocalFailure(f"{who} can no longer enter {folder}: let it pass through the folders above again")
        return folder

    def remember_port(self, server: str, port: int) -> None:
        """Keep a server's port, so that its address stays the same from run to run."""
        kept = _read(self._ports)
        private_file(None, self._ports, json.dumps((kept if isinstance(kept, dict) else {}) | {server: port}))

    def port(self, server: str) -> int | None:
        """The port a server had last time."""
        ports = _read(self._ports)
        port = ports.get(server) if isinstance(ports, dict) else None
        return port if isinstance(port, int) else None

    def write_journal(self, children: Sequence[Running]) -> None:
        """Keep what runs, so that it can be found and stopped should `up` be killed."""
        private_file(None, self._journal, json.dumps([asdict(child) for child in children]))

    def journal(self) -> list[Running]:
        """The children that were running when the journal was last written."""
        kept = _read(self._journal)
        if not isinstance(kept, list):
            return []
        return [Running(**child) for child in kept if isinstance(child, dict)]

    def write_up(self, content: Mapping[str, Any]) -> None:
        """Publish `up.json`: whole, mode 0600."""
        private_file(None, self.up_file, json.dumps(content, indent=1) + "\n")

    def up(self) -> dict[str, Any] | None:
        """What `up.json` says, None when there is none."""
        content = _read(self.up_file)
        return content if isinstance(content, dict) else None

    def remove_up(self) -> None:
        """Nothing answers any more."""
        self.up_file.unlink(missing_ok=True)

    def _check_owner(self) -> None:
        owner = self.secrets.stat().st_uid
        if owner != os.geteuid():
            with suppress(KeyError):
                name = pwd.getpwuid(owner).pw_name
                raise LocalFailure(f"{self.folder} is {name}'s: run as {name}, or set SHOPFLOW_HOME to another folder")
            raise LocalFailure(f"{self.folder} is another account's (uid {owner}): set SHOPFLOW_HOME to another folder")

    def _make_data_folder(self, account: Account | None) -> None:
        self.data.mkdir(mode=0o755)
        if reaches(account, self.data):
            return
        self.data.rmdir()
        folder = ELSEWHERE / token_hex(8)
        try:
            folder.mkdir(mode=0o755, parents=True)
        except OSError as error:
            line = f"neither {self.folder} can be entered by the servers' account nor {ELSEWHERE} be written"
            raise LocalFailure(f"{line}: set SHOPFLOW_HOME to a folder everybody may pass through") from error
        (folder / "belongs-to").write_text(f"{self.folder}\n", encoding="utf-8")
        self.data.symlink_to(folder)


def roll(log: Path, *, limit: int) -> None:
    """Move what a log holds aside once it is larger than `limit` bytes; its writer, which appends, carries on."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def _lock_now(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(lock: TextIO) -> None:
    ourselves = identify(os.getpid())
    lock.truncate(0)
    if ourselves is not None:
        lock.write(json.dumps(asdict(ourselves)))
    lock.flush()


def _read(path: Path) -> Any:
    """A JSON file's content; None when it is not there or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
