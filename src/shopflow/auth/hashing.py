"""The place where passwords are hashed: a few threads, as many as cores, and a queue that turns away what would wait.

A hash takes a quarter of a second of one core (R16); the event loop never does one, and validation never waits for one.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from math import ceil
from time import perf_counter
from typing import Final, TypeVar

from shopflow.auth import passwords
from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Problem, unavailable

T = TypeVar("T")

_NICE: Final = 15

PATIENCE: Final = 10.0
"""Seconds of waiting for a free thread that are the most anybody is asked to bear (A12)."""

_SECONDS_AT_12: Final = 0.25
_SMOOTHING: Final = 0.2


class Hashing:
    """Hashes and compares passwords, off the event loop.

    Args:
        cost: bcrypt's cost for new hashes.
        metrics: where durations and the queue show.
        workers: hashes done at once; as many as cores by default.
        patience: seconds of expected wait beyond which work is refused; PATIENCE by default.
    """

    def __init__(
        self, cost: int, metrics: Metrics, *, workers: int | None = None, patience: float | None = None
    ) -> None:
        self.cost = cost
        self._workers = workers or _cores()
        self._patience = PATIENCE if patience is None else patience
        self._threads = _threads(self._workers)
        self._unmatched = passwords.unmatched(cost)
        self._taken = 0
        self._seconds = _SECONDS_AT_12 * 2.0 ** (cost - 12)
        self._measured = metrics.histogram("password_hash_seconds", "Time that one bcrypt hash takes a core.")
        self._refused = metrics.counter(
            "password_hashes_refused_total", "Hashes not begun, because the queue was too long."
        )
        metrics.observed("password_hashes_waiting", "Hashes begun or waiting.", lambda: self._taken)

    async def open(self) -> None:
        """Nothing to wait for: threads start with the first hash."""

    async def close(self) -> None:
        """Lets the hashes that run come to their end, and begins no other."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def hashed(self, password: str) -> str:
        """A new hash.

        Raises:
            Problem: of kind unavailable, when it would have to wait for too long, or there is no memory for it.
        """
        return await self._done(lambda: passwords.hashed(password, self.cost))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether a password is the one that was hashed. Without a hash: no, after the same work (A8).

        Raises:
            Problem: of kind unavailable, when it would have to wait for too long, or there is no memory for it.
        """
        against = stored or self._unmatched
        return await self._done(lambda: passwords.matches(password, against)) and stored is not None

    async def _done(self, work: Callable[[], T]) -> T:
        wait = self._expected_wait()
        if wait > self._patience:
            self._refused.inc()
            raise unavailable("password-queue-full", "Too many sign-ins at once; try again.", retry_after=ceil(wait))
        self._taken += 1
        try:
            answer, seconds = await self._in_a_thread(work)
        finally:
            self._taken -= 1
        self._seconds += _SMOOTHING * (seconds - self._seconds)
        self._measured.observe(seconds)
        return answer

    async def _in_a_thread(self, work: Callable[[], T]) -> tuple[T, float]:
        threads = self._threads
        try:
            begun = asyncio.get_running_loop().run_in_executor(threads, _timed, work)
        except (MemoryError, RuntimeError) as error:  # no thread can be begun, or one failed before its first hash
            raise self._without_memory(threads, error) from error
        try:
            return await begun
        except (MemoryError, BrokenExecutor) as error:
            raise self._without_memory(threads, error) from error

    def _without_memory(self, threads: ThreadPoolExecutor, error: Exception) -> Problem:
        """Begins with new threads: those that there are may be broken for good, and end when nothing is left to do."""
        if threads is self._threads:
            self._threads = _threads(self._workers)
            threads.shutdown(wait=False)
        logs.logger("auth").error("password_not_hashed", error=type(error).__name__)
        return unavailable("password-hashing-unavailable", "There is no memory to check passwords with; try again.")

    def _expected_wait(self) -> float:
        """Seconds until a hash that came now would begin."""
        return max(0, self._taken - self._workers + 1) * self._seconds / self._workers


def _threads(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="bcrypt", initializer=_give_way)


def _cores() -> int:
    """The cores this process may use; where the system cannot say, those it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = perf_counter()
    return work(), perf_counter() - started


def _give_way() -> None:
    """Lets every other thread go first: a login takes a quarter of a second anyway, a validation must not."""
    if sys.platform == "linux":  # elsewhere the priority is the process's, not the thread's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
