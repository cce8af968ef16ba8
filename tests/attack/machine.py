"""The machine that the platform runs on: who may connect to what, read which file, see which process."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from tests.attack.findings import Severity
from tests.attack.scene import Scene
from tests.attack.target import SERVICES

_LISTENING: Final = "0A"
_LOOPBACK: Final = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
_MAY_KNOW: Final = {
    "auth": {"auth", "jwt_secret"},
    "orders": {"orders", "rabbitmq"},
    "notifications": {"notifications", "rabbitmq"},
}

_REWRITING: Final = (
    "UPDATE order_history SET reason = 'rewritten'",
    "DELETE FROM order_history",
    "TRUNCATE order_history",
    "UPDATE orders SET status = 'delivered' WHERE status = 'pending'",
)


async def listeners(scene: Scene) -> None:
    """Every socket that a process of the platform listens on: loopback only."""
    places = {inode: place for place, inode in _listening()}
    for pid in family(scene):
        for inode in _sockets(pid):
            if inode in places:
                address, port = places[inode].split(":")
                scene.notes.saw(f"port {int(port, 16)}")
                said = f"pid {pid} {_name(pid)} on {places[inode]}"
                inside = address in _LOOPBACK
                scene.unless(inside, "something listens beyond this machine", said, Severity.HIGH)


async def files(scene: Scene) -> None:
    """The state folder: what is secret is for its owner only, by its own mode or by that of a folder above it."""
    home = scene.target.home
    if home is None:
        return
    for path in sorted(home.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.is_relative_to(home / "data"):
            continue
        scene.notes.saw("file looked at")
        open_to_all = path.stat().st_mode & 0o044 and _reachable(path, home)
        said = f"{path.relative_to(home)} {path.stat().st_mode & 0o777:o}"
        scene.unless(not open_to_all, "others can read the state folder", said, Severity.HIGH)
        own_mode = path.stat().st_mode & 0o077 == 0
        secret = path.parent.name == "secrets" or path.name == "up.json"
        scene.unless(own_mode or not secret, "a secret's file is open", said, Severity.HIGH)


async def processes(scene: Scene) -> None:
    """Command lines, which everybody on the machine can read, and environments: each service knows its own secrets."""
    secrets = scene.target.secrets
    for pid in family(scene):
        line = _read(pid, "cmdline")
        scene.notes.saw("process looked at")
        for name, text in secrets.items():
            said = f"{name} in the command line of {_name(pid)}"
            scene.unless(text not in line, "a command line holds a secret", said, Severity.CRITICAL)
    for service in SERVICES:
        environment = _read(scene.target.pids.get(service, -1), "environ")
        for name, text in secrets.items():
            needed = name.split()[-1] in _MAY_KNOW[service] or "-service" in name
            said = f"{name} in the environment of {service}"
            scene.unless(needed or text not in environment, "a service knows too much", said, Severity.MEDIUM)


async def databases(scene: Scene) -> None:
    """Each service's database account: no passwordless way in, no other service's rows, nothing beyond its own."""
    for service, url in scene.target.postgres.items():
        place = urlsplit(url)
        for other in (*SERVICES, "postgres", "template1"):
            if other == service:
                continue
            opened = await _opens(urlunsplit(place._replace(path=f"/{other}")))
            scene.notes.saw("refused" if not opened else "let in")
            said = f"the account of {service} in {other}"
            scene.unless(not opened, "a service gets into another database", said, Severity.HIGH)
        for password in ("", "postgres", service, "shopflow", "password"):
            for user in (service, "postgres"):
                netloc = f"{user}:{password}@{place.hostname}:{place.port}"
                opened = await _opens(urlunsplit(place._replace(netloc=netloc)))
                scene.notes.saw("refused" if not opened else "let in")
                scene.unless(not opened, "a database takes a guess", f"{user}:{password}", Severity.CRITICAL)
        connection = await asyncpg.connect(url)
        try:
            might = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles WHERE rolname = $1"
            mighty = await connection.fetchval(might, service)
            scene.unless(not mighty, "a service's account may do anything", service, Severity.HIGH)
        finally:
            await connection.close()


async def history(scene: Scene) -> None:
    """The history of orders, with the service's own account: not even it may change what happened."""
    if "orders" not in scene.target.postgres:
        return
    connection = await asyncpg.connect(scene.target.postgres["orders"])
    try:
        for statement in _REWRITING:
            refused = await _refuses(connection, statement)
            scene.notes.saw("refused" if refused else "done")
            scene.unless(refused, "the history of orders can be rewritten", statement, Severity.HIGH)
    finally:
        await connection.close()


async def _refuses(connection: asyncpg.Connection, statement: str) -> bool:
    """Whether the database refuses a statement; what it does not refuse is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError:
        return True
    finally:
        await transaction.rollback()
    return False


async def broker(scene: Scene) -> None:
    """RabbitMQ with the password that it ships with."""
    place = urlsplit(scene.target.rabbitmq)
    guesses = (("guest", "guest"), (place.username or "", ""), ("admin", "admin"))
    host, port = place.hostname or "", place.port or 5672
    answers = await asyncio.gather(*(asyncio.to_thread(_amqp_login, host, port, *each) for each in guesses))
    for (user, password), answer in zip(guesses, answers, strict=True):
        scene.notes.saw(answer)
        scene.unless(answer != "let in", "the broker takes a guess", f"{user}:{password}", Severity.CRITICAL)


def family(scene: Scene) -> list[int]:
    """The processes of the platform and their children."""
    parents = {int(each.name): _parent(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit()}
    members = {pid for pid in scene.target.pids.values() if pid in parents}
    while more := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= more
    return sorted(members)


def _listening() -> Iterator[tuple[str, str]]:
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == _LISTENING:
                yield fields[1], fields[9]


def _sockets(pid: int) -> Iterator[str]:
    try:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            target = str(each.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:  # it has ended, or is somebody else's
        return


def _parent(pid: int) -> int:
    stat = _read(pid, "stat")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def _name(pid: int) -> str:
    return _read(pid, "comm").strip()


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _reachable(path: Path, home: Path) -> bool:
    """Whether others may pass through every folder from the home down to the file."""
    folders = [each for each in path.parents if each == home or each.is_relative_to(home)]
    return all(folder.stat().st_mode & 0o011 for folder in folders)


async def _opens(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5, ssl=False)
    except (asyncpg.PostgresError, OSError, TimeoutError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


def _amqp_login(host: str, port: int, user: str, password: str) -> str:
    """What an AMQP 0-9-1 broker says to a sign-in: `let in` when it goes on to the tuning."""
    sasl = f"\x00{user}\x00{password}".encode()
    start_ok = b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN" + len(sasl).to_bytes(4, "big") + sasl + b"\x05en_US"
    try:
        with socket.create_connection((host, port), timeout=5) as wire:
            wire.sendall(b"AMQP\x00\x00\x09\x01")
            wire.recv(4096)
            wire.sendall(b"\x01\x00\x00" + len(start_ok).to_bytes(4, "big") + start_ok + b"\xce")
            said = wire.recv(4096)
    except OSError:
        return "cut"
    return "let in" if said[7:11] == b"\x00\x0a\x00\x1e" else "refused"
