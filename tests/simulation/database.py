"""The databases of a schedule: PostgreSQL itself runs the product's own statements, one at a time, in virtual time.

The clock of the database is a file that the simulation writes: functions of ours stand before PostgreSQL's own in the
search path. A schedule is one transaction that is rolled back. The wire to it is the simulation's: see `wires.py`.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg

from shopflow.kit.migrations import migrate
from shopflow.kit.postgres import _prepare
from shopflow.local.postgres import PostgreSQL

T = TypeVar("T")

EPOCH: Final = 1_800_000_000.0
"""The instant at which a schedule begins, in seconds since 1970."""

_INSERT: Final = "INSERT INTO outbox (event_id, subject_id, routing_key, body, headers) VALUES ($1, $2, $3, $4, $5)"
_UNPUBLISHED: Final = "SELECT count(*) AS number FROM outbox WHERE published_at IS NULL"
_SCHEMAS: Final = Path(__file__).parents[2] / "src" / "shopflow"

_CLOCK: Final = """
CREATE SCHEMA IF NOT EXISTS simulated;
CREATE OR REPLACE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT to_timestamp(pg_read_file('{path}')::float8) $$;
CREATE OR REPLACE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT to_timestamp(pg_read_file('{path}')::float8) $$;
GRANT USAGE ON SCHEMA simulated TO "{name}";
GRANT pg_read_server_files TO "{name}";
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO "{name}";
ALTER DATABASE "{name}" SET search_path = public, simulated, pg_catalog;
"""


class Ground:
    """Both databases of a run, and their clock. `run` is for whoever stands outside of the simulated loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        handle, path = tempfile.mkstemp(prefix="shopflow-clock-")
        os.fchmod(handle, 0o644)
        self._clock, self._path = handle, Path(path)
        self._connections: dict[str, asyncpg.Connection] = {}
        self._schedules = 0
        self.nothing_waits = False
        self.set_time(0.0)

    def run(self, work: Awaitable[T]) -> T:
        """Waits for something on a loop of its own, while a simulated loop stands still."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio._set_running_loop(outer)

    def set_time(self, seconds: float) -> None:
        """Sets the clock of both databases, in seconds since the schedule began."""
        os.pwrite(self._clock, f"{EPOCH + seconds:.6f}".encode(), 0)

    async def prepare(self, server: PostgreSQL) -> None:
        """Makes the databases on a server that runs, unless they are there."""
        for service in ("orders", "notifications"):
            name = f"simulated_{service}"
            url = await server.ensure_database(name, password=name)
            await server.execute(_CLOCK.format(path=self._path, name=name), database=name)
            await migrate(url, _SCHEMAS / service / "schema")
            self._connections[service] = await asyncpg.connect(
                host=str(server.socket_folder), port=server.port, user=name, password=name, database=name
            )
            await _prepare(self._connections[service])

    def fetch(self, service: str, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """Runs one statement and answers its rows."""
        return self.run(self._connections[service].fetch(statement, *parameters))

    def execute(self, service: str, statement: str, *parameters: Any) -> str:
        """Runs one statement and answers its command tag."""
        return str(self.run(self._connections[service].execute(statement, *parameters)))

    def commit(self, *columns: Any) -> None:
        """Writes an event into the outbox, as order-service does with an order."""
        self.nothing_waits = False
        self.execute("orders", _INSERT, *columns)

    def look(self) -> None:
        """Finds out whether anything waits in the outbox; nobody but `commit` can change a no into a yes."""
        self.nothing_waits = self.fetch("orders", _UNPUBLISHED)[0]["number"] == 0

    @contextmanager
    def schedule(self, seed: int) -> Iterator[None]:
        """One schedule's transactions: whatever it does is undone at the end."""
        self.set_time(0.0)
        self.nothing_waits = False
        for service in self._connections:
            self.execute(service, f"BEGIN; SELECT setseed({(seed % 1000) / 1000})")
        try:
            yield
        finally:
            for service in self._connections:
                self.execute(service, "ROLLBACK")
            self._schedules += 1
            if self._schedules % 200 == 0:
                self._tidy()

    def _tidy(self) -> None:
        for service in self._connections:
            self.execute(service, "VACUUM")

    def close(self) -> None:
        """Closes the connections and removes the clock."""
        for connection in self._connections.values():
            self.run(connection.close())
        self._loop.close()
        os.close(self._clock)
        self._path.unlink()
