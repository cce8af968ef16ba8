"""Which RabbitMQ to run: the one installed on this machine, else the distribution's packages unpacked into the cache.
Never a home-made broker; where there is none, one message with the remedies."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shopflow.local import debian_packages
from shopflow.local.accounts import Account, reaches
from shopflow.local.failures import LocalFailure

# Where distributions keep the script itself; what they put on the PATH may refuse everybody but root.
SERVER_SCRIPTS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),)
MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin", "/opt/homebrew/bin", "/usr/local/bin")
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

REMEDIES = (
    "no RabbitMQ here ({reason}): give RABBITMQ_URL=amqp://user:password@host:5672/ of one that runs, or install"
    " rabbitmq-server so that it is on the PATH, or, on Debian and its relatives, let apt-get reach the package mirror"
)


@dataclass(frozen=True, slots=True)
class Installation:
    """A RabbitMQ that can be started: its server script and what its environment must have."""

    server: Path
    environment: Mapping[str, str] = field(default_factory=dict)


async def find_installation(account: Account | None, *, say: Callable[[str], None]) -> Installation:
    """The installation to use; fetches and unpacks packages when that is the way, and says so. Raises LocalFailure."""
    server = _installed_server()
    if server is not None and reaches(account, server.resolve().parent):
        return Installation(server, {"PATH": _search_path()})
    try:
        root = await debian_packages.unpacked(say=say)
    except debian_packages.Unavailable as unavailable:
        line = REMEDIES.format(reason=unavailable)
        raise LocalFailure(line, detail=unavailable.detail) from unavailable
    libraries = sorted({str(file.parent) for file in root.glob("usr/lib/*/*.so*")})
    return Installation(
        root / "usr/lib/rabbitmq/bin/rabbitmq-server",
        {"PATH": f"{root}/usr/lib/erlang/bin:{SYSTEM_PATH}", "LD_LIBRARY_PATH": ":".join(libraries)},
    )


def _installed_server() -> Path | None:
    search = _search_path()
    if shutil.which("erl", path=search) is None:
        return None
    for script in SERVER_SCRIPTS:
        if os.access(script, os.X_OK):
            return script
    found = shutil.which("rabbitmq-server", path=search)
    return Path(found) if found else None


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), SYSTEM_PATH, *MORE_FOLDERS))
