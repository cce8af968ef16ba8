"""Counts in the shared store while that answers, and in this process's memory while not: never "no limit" (R22).

Nobody pays for an outage twice: after the first failure calls are counted here, while a task of our own looks for the
store: at once, since one late answer is no outage, and then once a second until it is back.
"""

import asyncio
from time import monotonic
from typing import Final

from prometheus_client import Counter, Gauge

from shopflow.kit import logs
from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.memory import MOST_KEYS, Memory
from shopflow.kit.rate_limits.shared import Shared, StoreLost
from shopflow.kit.rate_limits.windows import Policy, Usage, refusal

LOOK_EVERY: Final = 1.0
"""Seconds between two looks for a store that is gone."""


class Fallback:
    """A shared store, with a memory behind it.

    Args:
        shared: the store that instances share.
        memory: what counts when that does not answer.
        lost: counts the calls that failed.
        alone: 1 while this process counts for itself.
    """

    def __init__(self, shared: Shared, memory: Memory, *, lost: Counter, alone: Gauge) -> None:
        self._shared = shared
        self._memory = memory
        self._lost = lost
        self._alone = alone
        self._full = _KnownFull()
        self._search: asyncio.Task[None] | None = None
        self._is_gone = False
        self._log = logs.logger("rate_limits")

    async def open(self) -> None:
        """Looks for the store; without it, counting begins here."""
        await self.answers()

    async def close(self) -> None:
        """Stops looking for the store, and lets go of it."""
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])
        await self._shared.close()

    async def answers(self) -> bool:
        """Whether counts are shared right now."""
        if self._search is None and (error := await self._missing()) is not None and self._search is None:
            self._give_up(error)
            self._search = asyncio.create_task(self._find(), name="rate-limit-store")
        return not self._is_gone

    async def take(self, policy: Policy, key: str) -> Usage:
        """Counts one call, unless there is no room for it. A key that is known to have none costs no round trip."""
        if (known := self._full.of(policy, key)) is not None:
            return known
        if self._search is None:
            try:
                counted = await self._shared.take(policy, key)
            except StoreLost as error:
                self._doubt(error)
            else:
                if counted.refused:
                    self._full.note(key, counted)
                return counted
        return await self._memory.take(policy, key)

    def look(self, policy: Policy, key: str) -> Usage | None:
        """The refusal of a key that is known here to have no room; asks nobody.

        Whoever was refused elsewhere only is refused here by the first call that counts.
        """
        return self._full.of(policy, key) or self._memory.look(policy, key)

    async def attempt(self, ladder: Ladder, key: str) -> float:
        """Counts an attempt as failed, or answers how many seconds it has to wait."""
        if self._search is None:
            try:
                return await self._shared.attempt(ladder, key)
            except StoreLost as error:
                self._doubt(error)
        return await self._memory.attempt(ladder, key)

    async def forgive(self, ladder: Ladder, key: str) -> None:
        """Forgets every failure, wherever it was counted."""
        await self._memory.forgive(ladder, key)
        if self._search is None:
            try:
                await self._shared.forgive(ladder, key)
            except StoreLost as error:
                self._doubt(error)

    async def undo(self, ladder: Ladder, key: str) -> None:
        """Takes back one attempt that was never made."""
        await self._memory.undo(ladder, key)
        if self._search is None:
            try:
                await self._shared.undo(ladder, key)
            except StoreLost as error:
                self._doubt(error)

    def _doubt(self, error: StoreLost) -> None:
        self._lost.inc()
        if self._search is None:
            self._search = asyncio.create_task(self._look_again(error), name="rate-limit-store")

    async def _look_again(self, error: StoreLost) -> None:
        if await self._missing() is None:
            self._search = None
        else:
            self._give_up(error)
            await self._find()

    async def _find(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if await self._missing() is None:
                break
        self._search, self._is_gone = None, False
        self._alone.set(0)
        self._log.info("rate_limit_store_back")

    def _give_up(self, error: StoreLost) -> None:
        self._is_gone = True
        self._alone.set(1)
        self._log.warning("rate_limit_store_lost", error=str(error))

    async def _missing(self) -> StoreLost | None:
        """Why the store cannot be counted in, if it cannot."""
        try:
            await self._shared.probe()
        except StoreLost as error:
            self._lost.inc()
            return error
        return None


class _KnownFull:
    """Keys that have no room, and until when: nobody's call makes that sooner, so nobody has to be asked."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def of(self, policy: Policy, key: str) -> Usage | None:
        until = self._until.get((policy.name, key))
        if until is None:
            return None
        wait = until - monotonic()
        if wait > 0:
            return refusal(policy, wait=wait)
        del self._until[policy.name, key]
        return None

    def note(self, key: str, refused: Usage) -> None:
        if len(self._until) >= MOST_KEYS:
            now = monotonic()
            self._until = {known: until for known, until in self._until.items() if until > now}
        if len(self._until) < MOST_KEYS:  # one more is asked about each time
            self._until[refused.name, key] = monotonic() + refused.reset
