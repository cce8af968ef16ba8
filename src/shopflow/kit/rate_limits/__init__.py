"""Rate limits as a sliding window (PRD 10.5, R22), and delays that grow with failures (A11).

What a limit means is in here; who counts is a store: this process's memory, or one that instances share.
"""

from math import ceil
from typing import Any, Final

from prometheus_client import Counter

from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, Problem
from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.memory import Memory
from shopflow.kit.rate_limits.stores import MEMORY, Counts, Store, counts_at
from shopflow.kit.rate_limits.windows import Policy, Usage, policy

__all__ = ["MEMORY", "Counts", "Delay", "Ladder", "Policy", "RateLimit", "Store", "Usage", "counts_at", "noted"]

NOTED: Final = "rate_limit"
"""Where in a request's scope the usage is kept that its answer tells."""


class RateLimit:
    """At most so many calls per window and key.

    Args:
        rate: such as `100/minute`, or None for no limit.
        name: what the policy is called, to callers and in the store: limits of one name share their counts.
        store: who counts; by default a memory of this limit's own.
        metrics: where refused calls show.
    """

    def __init__(
        self, rate: str | None, *, name: str = "calls", store: Store | None = None, metrics: Metrics | None = None
    ) -> None:
        self._policy = policy(rate, name=name) if rate else None
        self._store = store or Memory()
        self._refused = _refusals(metrics or Metrics()).labels(name)

    async def count(self, key: str) -> Usage | None:
        """Counts one call; answers how much is used up, or None when there is no limit.

        Raises:
            Problem: of kind too-many, when the window of this key is full; then it is not counted.
        """
        if self._policy is None:
            return None
        usage = await self._store.take(self._policy, key)
        if usage.refused:
            raise self._full(self._policy, usage)
        return usage

    def check(self, key: str) -> None:
        """Refuses as `count` does when the window is known to be full; for what is counted only on failure.

        Nothing is counted and nobody is asked: where a store is shared, a key that is full elsewhere may pass here
        until its next counted call.
        """
        if self._policy is not None and (usage := self._store.look(self._policy, key)) is not None:
            raise self._full(self._policy, usage)

    def _full(self, full: Policy, usage: Usage) -> Problem:
        self._refused.inc()
        return Problem(
            Kind.TOO_MANY,
            "too-many-requests",
            f"More than {full.amount} requests in one {full.unit}; try again in {usage.reset} s.",
            retry_after=usage.reset,
            headers=usage.headers(),
        )


class Delay:
    """Makes repeated failures of one key wait, longer each time, whoever causes them; never a lock.

    Args:
        ladder: how the delay grows, or None for none.
        store: who counts.
        metrics: where refused attempts show.
    """

    def __init__(self, ladder: Ladder | None, *, store: Store, metrics: Metrics) -> None:
        self._ladder = ladder
        self._store = store
        self._refused = _refusals(metrics)

    async def begin(self, key: str) -> None:
        """Counts an attempt as failed from its start on, so that many at once are as many as one after the other.

        Raises:
            Problem: of kind too-many, `too-many-failures`, while the last failure is not long enough ago.
        """
        if self._ladder is None:
            return
        wait = ceil(await self._store.attempt(self._ladder, key))
        if wait > 0:
            self._refused.labels(self._ladder.name).inc()
            raise _too_soon(self._ladder, wait)

    async def forgive(self, key: str) -> None:
        """The attempt was right: all failures are forgotten."""
        if self._ladder is not None:
            await self._store.forgive(self._ladder, key)

    async def undo(self, key: str) -> None:
        """The attempt was never made: it does not count."""
        if self._ladder is not None:
            await self._store.undo(self._ladder, key)


def noted(scope: Any, usage: Usage | None) -> None:
    """Keeps a usage for the answer's headers; of several, the one that leaves the least."""
    former: Usage | None = scope.get(NOTED)
    if usage is not None and (former is None or usage.remaining < former.remaining):
        scope[NOTED] = usage


def _refusals(metrics: Metrics) -> Counter:
    return metrics.counter("rate_limited_total", "Calls refused by a rate limit or a growing delay.", ("policy",))


def _too_soon(ladder: Ladder, wait: int) -> Problem:
    usage = Usage(ladder.name, ladder.free, ladder.forget, 0, wait, refused=True)
    return Problem(
        Kind.TOO_MANY,
        "too-many-failures",
        f"Too many failed attempts; try again in {wait} s.",
        retry_after=wait,
        headers=usage.headers(),
    )
