"""One PostgreSQL server, private to a platform or to a test run: its data folder, its process, its databases.

It knows nothing of ShopFlow's services. Data outlives the process; `start` may be called again after a stop or a crash.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import quote

from shopflow.local.accounts import own, private_file, private_folder, server_account
from shopflow.local.failures import LocalFailure
from shopflow.local.one_process import PortProcess
from shopflow.local.postgres_binaries import major_of, usable_binaries, wheel_binaries
from shopflow.local.postmaster import clear_leftovers, pid_in, status_in
from shopflow.local.processes import Child, Output

SUPERUSER = "postgres"
START_SECONDS = 30.0  # crash recovery included
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
LONGEST_SOCKET_PATH = 100  # bytes; the system's limit is 104 or 108

DATABASES = """
SELECT format('CREATE ROLE %I LOGIN', name) FROM (VALUES ({name})) AS wanted(name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
SELECT format('ALTER ROLE %I PASSWORD %L', {name}, {password}) \\gexec
SELECT format('CREATE DATABASE %I OWNER %I', name, name) FROM (VALUES ({name})) AS wanted(name)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \\gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {name}) \\gexec
"""
NOBODY_ELSE = """
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
"""


class PostgreSQL(PortProcess):
    """A server on a loopback port and a Unix socket, all accounts by password.

    `folder` holds the data and is made when missing (its parent must exist and be reachable for the server's account);
    `password` is the superuser's, decided when the data is first made. `binaries` is another installation's `bin`
    folder. `durable=False` trades crash safety for speed: for tests only. `port` is preferred, not promised: read it
    after `start`. `options` are further server settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        binaries: Path | None = None,
        port: int | None = None,
        durable: bool = True,
        log: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        log = log or self.folder / "postgres.log"
        super().__init__("postgres", title="PostgreSQL", log=log, patience=STOP_SECONDS, port=port)
        self._password = password
        self._wanted_binaries = binaries
        self._binaries = Path()
        self._durable = durable
        self._options = dict(options or {})
        self._account = server_account()
        self._output = Output(self.log, 0)
        self._socket_folder: Path | None = None

    @property
    def socket_folder(self) -> Path:
        """The folder of the Unix socket: asyncpg's `host`, faster than loopback TCP. Valid while the server runs."""
        if self._socket_folder is None:
            raise LocalFailure("PostgreSQL is not running")
        return self._socket_folder

    def url(self, database: str, *, user: str, password: str) -> str:
        """The address of a database for one user, over TCP."""
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def superuser_url(self) -> str:
        """The address of the maintenance database for the superuser."""
        return self.url("postgres", user=SUPERUSER, password=self._password)

    async def start(self) -> None:
        """Bring the server up and return once it answers. Raises LocalFailure; nothing is left running then."""
        self._binaries = await usable_binaries(self._wanted_binaries or wheel_binaries(), self._account)
        private_folder(self._account, self.folder)
        self._output = Output.beginning_now(self.log)
        await self._make_data()
        await clear_leftovers(self.folder / "data")
        await self._start_on_a_free_port(self._launch, taken="could not bind", said=self._output.tail)

    async def stop(self) -> None:
        """Stop it (PostgreSQL's "fast": clients are cut, what is committed is kept). Does nothing when it is down."""
        await super().stop()
        if self._socket_folder is not None and not self._socket_folder.is_relative_to(self.folder):
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        self._socket_folder = None

    async def ensure_database(self, name: str, *, password: str) -> str:
        """Make the role `name` and a database of the same name that nobody else may enter; returns its address."""
        values = {"name": _literal(name), "password": _literal(password)}
        await self.execute(DATABASES.format(**values) + NOBODY_ELSE)
        return self.url(name, user=name, password=password)

    async def execute(self, sql: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser, each in a transaction of its own; returns the rows as unaligned text."""
        program = (self._binaries / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-")
        address = {"PGHOST": str(self.socket_folder), "PGPORT": str(self.port), "PGDATABASE": database}
        psql = await asyncio.create_subprocess_exec(
            *program,
            env=_environment()
            | address
            | {"PGUSER": SUPERUSER, "PGPASSWORD": self._password, "PGCLIENTENCODING": "UTF8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        rows, complaint = await psql.communicate(sql.encode())
        if psql.returncode != 0:
            raise LocalFailure("PostgreSQL refused a statement", detail=complaint.decode(errors="replace"))
        return rows.decode()

    async def _make_data(self) -> None:
        data = self.folder / "data"
        if data.is_dir():
            self._check_major(data)
            return
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password = private_file(self._account, self.folder / "password", self._password)
        arguments = ("-A", "scram-sha-256", f"--pwfile={password}", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8")
        try:
            await self._initialise(*arguments, "--no-sync", "--no-instructions", "-D", str(draft))
        finally:
            password.unlink()
        draft.rename(data)

    async def _initialise(self, *arguments: str) -> None:
        initdb = await Child.spawn(
            (self._binaries / "initdb", *arguments),
            environment=_environment(),
            log=self.log,
            folder=self.folder,
            account=self._account,
        )
        if await initdb.wait() != 0:
            raise LocalFailure(
                f"PostgreSQL's data folder could not be made, see {self.log}", detail=self._output.tail()
            )

    def _check_major(self, data: Path) -> None:
        ours, theirs = major_of(self._binaries), int((data / "PG_VERSION").read_text(encoding="ascii"))
        if ours != theirs:
            raise LocalFailure(
                f"{data} was written by PostgreSQL {theirs} and this is PostgreSQL {ours}: move that folder away to "
                f"begin afresh, or give DATABASE_URL_AUTH, _ORDERS and _NOTIFICATIONS of a server that runs {theirs}"
            )

    async def _launch(self) -> bool:
        """Start the process; False if it ended instead of becoming ready."""
        self._socket_folder = self._make_socket_folder()
        settings = self._settings(self._socket_folder)
        pairs = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        child = await Child.spawn(
            (self._binaries / "postgres", "-D", self.folder / "data", *pairs),
            environment=_environment(),
            log=self.log,
            folder=self.folder,
            stop_signal=signal.SIGINT,
            account=self._account,
        )
        return await self._becomes_ready(child, self._is_ready(child), within=START_SECONDS)

    async def _is_ready(self, child: Child) -> bool:
        pid_file = self.folder / "data" / "postmaster.pid"
        while child.exit_status is None:
            if status_in(pid_file) == "ready" and pid_in(pid_file) == child.identity.pid:
                await self.execute("SELECT 1")
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    def _settings(self, socket_folder: Path) -> dict[str, str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(socket_folder),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "100",
            "log_error_verbosity": "terse",  # the details of an error hold the row's values: people's addresses
        }
        if not self._durable:
            settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
        return settings | self._options

    def _make_socket_folder(self) -> Path:
        """A folder whose path is short enough for a socket: ours if it is, else one under the temporary folder."""
        inside = self.folder / "socket"
        if len(os.fsencode(inside / ".s.PGSQL.65535.lock")) <= LONGEST_SOCKET_PATH:
            return private_folder(self._account, inside)
        outside = Path(tempfile.mkdtemp(prefix="shopflow-"))
        own(self._account, outside)
        return outside


@asynccontextmanager
async def throwaway(
    *,
    binaries: Path | None = None,
    durable: bool = False,
    options: Mapping[str, str] | None = None,
    within: Path | None = None,
) -> AsyncIterator[PostgreSQL]:
    """A running server for tests, in a temporary folder (of `within`, if given) that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="shopflow-postgres-", dir=within))
    own(server_account(), folder)
    server = PostgreSQL(folder, password=token_urlsafe(), binaries=binaries, durable=durable, options=options)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        shutil.rmtree(folder)


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _literal(text: str) -> str:
    if "\\" in text or "\0" in text:
        raise ValueError("a backslash or NUL cannot stand in this literal")
    return "'" + text.replace("'", "''") + "'"
