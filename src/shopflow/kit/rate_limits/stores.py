"""What a store of counts can do, and which one a URL names. Where it counts is `memory`'s and `shared`'s business."""

from typing import Final, Protocol

from shopflow.kit.metrics import Metrics
from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.memory import Memory
from shopflow.kit.rate_limits.windows import Policy, Usage

MEMORY: Final = "memory://"
"""Counts in this process alone."""


class Store(Protocol):
    """Counts calls and failed attempts by key. It always answers: when it cannot know, it counts for itself."""

    async def take(self, policy: Policy, key: str) -> Usage:
        """Counts one call, unless there is no room for it."""

    def look(self, policy: Policy, key: str) -> Usage | None:
        """The refusal of a key that is known here to have no room; counts nothing, asks nobody."""

    async def attempt(self, ladder: Ladder, key: str) -> float:
        """Counts an attempt as failed, until it is forgiven or undone.

        Returns:
            0.0 when it may go ahead; otherwise the seconds to wait, and nothing was counted.
        """

    async def forgive(self, ladder: Ladder, key: str) -> None:
        """Forgets every failure: an attempt was right."""

    async def undo(self, ladder: Ladder, key: str) -> None:
        """Takes back one attempt that was never made."""


class Counts(Store, Protocol):
    """A store that lives as long as an application."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def answers(self) -> bool: ...


def counts_at(url: str, metrics: Metrics) -> Counts:
    """The store that `RATE_LIMIT_STORAGE_URL` names; nothing is opened yet.

    Args:
        url: `memory://`, or a Valkey or Redis.
        metrics: where keys, failures and counting alone show.
    """
    memory = Memory()
    metrics.observed("rate_limit_keys", "Keys of rate limits and delays that this process remembers.", memory.keys)
    lost = metrics.counter("rate_limit_store_failures_total", "Calls to the shared store of counts that failed.")
    alone = metrics.gauge("rate_limit_store_fallback", "1 while the shared store does not answer.")
    if url == MEMORY:
        return memory
    # Those who count in memory do not pay for the client.
    from shopflow.kit.rate_limits.fallback import Fallback  # noqa: PLC0415
    from shopflow.kit.rate_limits.shared import Shared  # noqa: PLC0415

    return Fallback(Shared(url), memory, lost=lost, alone=alone)
