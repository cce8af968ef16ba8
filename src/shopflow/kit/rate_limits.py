"""Rate limits as a sliding window (PRD 10.5, R22), counted per key in memory, or in a store that instances share."""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import time
from typing import Any, Final

from limits import parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from shopflow.kit.problems import Kind, Problem

MEMORY: Final = "memory://"


class RateLimit:
    """At most so many calls per window and key; None as the rate lifts the limit.

    Args:
        rate: such as `100/minute`, or None for no limit.
        name: what is limited; part of every key, so that limits do not share counts.
        storage: where counts live, shared by the limits of one application.
    """

    def __init__(self, rate: str | None, *, name: str, storage: Storage) -> None:
        self._item = parse(rate) if rate else None
        self._name = name
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    async def count(self, key: str) -> None:
        """Counts one call.

        Raises:
            Problem: of kind too-many, when the window of this key is full.
        """
        if self._item is not None and not await self._strategy.hit(self._item, self._name, key):
            raise await self._full(self._item, key)

    async def check(self, key: str) -> None:
        """Refuses as `count` does when the window is full, and counts nothing: for what is counted only on failure."""
        if self._item is not None and not await self._strategy.test(self._item, self._name, key):
            raise await self._full(self._item, key)

    async def _full(self, item: Any, key: str) -> Problem:
        window = await self._strategy.get_window_stats(item, self._name, key)
        wait = max(1, ceil(window.reset_time - time()))
        return Problem(
            Kind.TOO_MANY,
            "too-many-requests",
            f"More than {item.amount} requests in {_per(item)}; try again in {wait} s.",
            retry_after=wait,
        )


def client_address(scope: Mapping[str, Any]) -> str:
    """The address a request came from, as a key to count by: an IPv6 address counts as its /64 (R22)."""
    client = scope.get("client")
    address = ip_address(client[0] if client else "0.0.0.0")
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((address, 64), strict=False))
    return str(address)


def storage(url: str) -> Storage:
    """The store of counts that a URL names; memory by default."""
    opened: Any = storage_from_string(f"async+{url}")
    if not isinstance(opened, Storage):
        raise TypeError("the rate limits need an asynchronous store")
    return opened


def _per(item: Any) -> str:
    granularity = item.GRANULARITY.name
    return f"one {granularity}" if item.multiples == 1 else f"{item.multiples} {granularity}s"
