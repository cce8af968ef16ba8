"""Counts handlings that were begun and never ended: a message that kills the process is to be parked in the end (K22).

The table is `handlings`, declared by the service that consumes. Only messages that come again are counted, so that the
ordinary one costs nothing; the count goes as soon as there is a verdict, whatever it is. A lost connection or a restart
of the broker counts nothing, since the process that lives on ends what it began.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem

CRASHES: Final = 5
"""After so many crashes a message is parked. The first of them is that of the first delivery, which nobody counted."""

_HAND_BACK_WITHIN: Final = 0.5

BEGUN: Final = "SELECT begun FROM handlings WHERE message = $1"

BEGIN: Final = """
WITH forgotten AS (
    DELETE FROM handlings WHERE last_begun_at < now() - interval '7 days' AND message <> $1
)
INSERT INTO handlings (message, begun) VALUES ($1, 1)
ON CONFLICT (message) DO UPDATE SET begun = handlings.begun + 1, last_begun_at = now()
RETURNING begun
"""
"""Also forgets messages that somebody else dealt with, as when a queue was purged."""

END: Final = "DELETE FROM handlings WHERE message = $1"

HAND_BACK: Final = """
WITH ended AS (DELETE FROM handlings WHERE message = $1 AND begun = 1)
UPDATE handlings SET begun = begun - 1 WHERE message = $1 AND begun > 1
"""


class Handlings:
    """Messages that came again, and how often they were begun since there was a verdict on them.

    Args:
        database: where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: set[bytes] = set()
        self._alone = asyncio.Lock()
        self._log = logs.logger("handlings")

    @asynccontextmanager
    async def counted(self, message: bytes) -> AsyncIterator[bool]:
        """Counts one handling while it lasts; answers whether there were too many that never ended.

        Leaving it normally or by an exception means that there is a verdict, a cancellation that there is none.

        Raises:
            Problem: the database does not answer; nothing was handled.
        """
        if message in self._running:  # it came again while we still work on it: only its connection was lost
            yield False
            return
        self._running.add(message)
        begun = 0
        try:
            async with await self._turn(message):
                begun = int(await self._database.fetchval(BEGIN, message))
                yield begun >= CRASHES
        except asyncio.CancelledError:
            if begun:
                await self._settle(HAND_BACK, message)
            raise
        finally:
            self._running.discard(message)
        await self._settle(END, message)

    async def _turn(self, message: bytes) -> AbstractAsyncContextManager[None]:
        """Suspects wait for each other, or the innocent that were begun beside the guilty would be parked with it."""
        return self._alone if await self._database.fetchval(BEGUN, message) else nullcontext()

    async def _settle(self, statement: str, message: bytes) -> None:
        try:
            async with asyncio.timeout(_HAND_BACK_WITHIN):
                await self._database.execute(statement, message)
        except (Problem, TimeoutError):  # one crash too many may be counted: of five, and for a week
            self._log.warning("handling_not_settled")
