"""Removes rows whose time is over, a batch at a time, for as long as the service runs.

Several instances may do so at once: each statement deletes what it finds, and finds nothing twice.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from shopflow.kit import logs
from shopflow.kit.cancellations import ended
from shopflow.kit.postgres import Database, rows_changed

EVERY: Final = 600.0
"""Seconds between two rounds."""


class Trims:
    """A resource that runs deletions again and again, in the background.

    Args:
        database: where to delete.
        statements: by what they remove; each deletes at most one batch of rows, and is repeated while it finds some.
        every: seconds between two rounds.
    """

    def __init__(self, database: Database, statements: Mapping[str, str], *, every: float = EVERY) -> None:
        self._database = database
        self._statements = dict(statements)
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._log = logs.logger("trims")

    async def open(self) -> None:
        """Begins; the first round comes at once."""
        self._task = asyncio.create_task(self._run(), name="trims")

    async def close(self) -> None:
        """Ends, in the middle of a round too: what is not deleted is found again."""
        if self._task is not None:
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            for name, statement in self._statements.items():
                await self._trim(name, statement)
            await asyncio.sleep(self._every)

    async def _trim(self, name: str, statement: str) -> None:
        removed = 0
        try:
            while batch := rows_changed(await self._database.execute(statement)):
                removed += batch
        except Exception as error:  # noqa: BLE001 - whatever it was, the next round comes
            self._log.warning("trim_failed", rows=name, error=type(error).__name__)
        if removed:
            self._log.info("trimmed", rows=name, removed=removed)
