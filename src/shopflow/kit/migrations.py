"""Plain SQL migrations of one service, run by pogo, safe when two instances run them at once (D-14)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pogo_core.util.migrate import apply
from pogo_core.util.sql import ensure_pogo_sync, get_applied_migrations

from shopflow.kit.postgres import connect, translated

_LOCK: Final = 0x53484F50  # any number, the same for all who migrate this database
_POLL: Final = 0.1
_PATIENCE: Final = 120.0


async def migrate(url: str, folder: Path) -> list[str]:
    """Applies the migrations of `folder` that this database does not have yet.

    Returns:
        The names of those applied now, in order; empty when there was nothing to do.

    Raises:
        Problem: of kind unavailable, when the database cannot be reached.
        TimeoutError: somebody else has been migrating for two minutes.
    """
    connection = await connect(url)
    try:
        with translated():
            async with _alone(connection):
                await ensure_pogo_sync(connection)
                before = await get_applied_migrations(connection, schema_name="public")
                await apply(connection, folder, schema_name="public")
                after = await get_applied_migrations(connection, schema_name="public")
                return sorted(after - before)
    finally:
        await connection.close()


@asynccontextmanager
async def _alone(connection: Any) -> AsyncIterator[None]:
    """Waits by asking again: a session that waits inside pg_advisory_lock deadlocks with CREATE INDEX CONCURRENTLY."""
    async with asyncio.timeout(_PATIENCE):
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            await asyncio.sleep(_POLL)
    try:
        yield
    finally:
        await connection.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)
