"""The clock of one database, which a test can move: what a server does whose machine's clock jumps.

Every statement of a service's that asks for the time asks a function in front of the server's own. What columns get by
themselves is the server's time.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg

_CLOCK = """
CREATE SCHEMA movable;
CREATE TABLE movable.clock (ahead INTERVAL NOT NULL);
INSERT INTO movable.clock VALUES ('0');
CREATE FUNCTION movable.now() RETURNS TIMESTAMPTZ STABLE LANGUAGE SQL AS
    'SELECT pg_catalog.now() + ahead FROM movable.clock';
CREATE FUNCTION movable.clock_timestamp() RETURNS TIMESTAMPTZ VOLATILE LANGUAGE SQL AS
    'SELECT pg_catalog.clock_timestamp() + ahead FROM movable.clock';
"""


MakeDatabase = Callable[[str], Awaitable[str]]


class MovableClock:
    """The clock of the database at `url`, from the next connection on."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def install(self) -> None:
        """Puts it in front of the server's. To be called before a service connects."""
        database = urlsplit(self._url).path[1:]
        await self._execute(_CLOCK + f'ALTER DATABASE "{database}" SET search_path = movable, pg_catalog, public;')

    async def jump(self, ahead: timedelta) -> None:
        """Makes it so much later than it is by the server's clock."""
        await self._execute("UPDATE movable.clock SET ahead = $1", ahead)

    async def _execute(self, statement: str, *parameters: object) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement, *parameters)
        finally:
            await connection.close()


def movable(database_of: MakeDatabase) -> MakeDatabase:
    """Makes databases as this does, whose clock can be moved."""

    async def make(service: str) -> str:
        url = await database_of(service)
        await MovableClock(url).install()
        return url

    return make
