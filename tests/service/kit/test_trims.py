"""What removes rows in the background goes on, whatever its database says."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shopflow.kit.postgres import Database
from shopflow.kit.trims import Trims

DELETED = "DELETE FROM leaves WHERE number IN (SELECT number FROM leaves WHERE number < 5 LIMIT 2)"


async def test_rows_are_removed_in_batches_also_after_a_round_that_failed(
    database_of: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_of("auth"), size=1)
    await database.open()
    trims = Trims(database, {"leaves": DELETED}, every=0.01)
    with structlog.testing.capture_logs() as lines:
        await trims.open()
        async with asyncio.timeout(20):
            while not lines:  # the table is not there yet
                await asyncio.sleep(0.01)
            await database.execute("CREATE TABLE leaves AS SELECT generate_series(1, 9) AS number")
            while lines[-1]["event"] != "trimmed":
                await asyncio.sleep(0.01)
        await trims.close()
        assert await database.fetchval("SELECT count(*) FROM leaves") == 5
    await database.close()
    assert lines[0]["event"] == "trim_failed"
    assert lines[0]["error"] == "UndefinedTableError"
    assert lines[-1] == {"component": "trims", "event": "trimmed", "log_level": "info", "rows": "leaves", "removed": 4}
