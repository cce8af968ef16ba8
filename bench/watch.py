"""Looks at a running platform from outside: what its services count about themselves, and what each part takes of the
machine, now; two looks give what happened between them."""

import asyncio
import os
import time

import aiohttp
import msgspec

from bench import machine
from bench.figures import Histogram, histograms
from bench.shop import Platform
from shopflow.local.given import SERVICES


class Look(msgspec.Struct, frozen=True):
    """One look. Times are in seconds.

    Attributes:
        at: when, on a clock that only grows.
        metrics: each service's Prometheus text.
        busy: the processor time that each part has taken so far.
        ours: what this process has taken.
        all: what anything on the machine has taken.
        stolen: what the hypervisor has given to other machines.
    """

    at: float
    metrics: dict[str, str]
    busy: dict[str, float]
    ours: float
    all: float
    stolen: float


class Between(msgspec.Struct, frozen=True):
    """What happened between two looks."""

    first: Look
    last: Look

    def histogram(self, service: str, name: str, **labels: str) -> Histogram:
        """What a service's histogram gained."""
        later, earlier = (histograms(look.metrics[service], name, labels) for look in (self.last, self.first))
        return later.since(earlier)

    def cores(self, part: str) -> float:
        """How many cores a part kept busy."""
        return (self.last.busy[part] - self.first.busy[part]) / self._seconds

    @property
    def driver_cores(self) -> float:
        """How many cores the load driver kept busy."""
        return (self.last.ours - self.first.ours) / self._seconds

    @property
    def stolen_cores(self) -> float:
        """How many cores' worth of time the hypervisor gave to other machines."""
        return (self.last.stolen - self.first.stolen) / self._seconds

    @property
    def other_cores(self) -> float:
        """How many cores everything else on the machine kept busy: noise."""
        known = sum(self.cores(part) for part in self.last.busy) + self.driver_cores + self.stolen_cores
        return max((self.last.all - self.first.all) / self._seconds - known, 0.0)

    @property
    def _seconds(self) -> float:
        return self.last.at - self.first.at


async def look(platform: Platform) -> Look:
    """Look now."""
    addresses = platform.addresses
    urls = (addresses.auth, addresses.orders, addresses.notifications)
    async with aiohttp.ClientSession() as session:
        texts = await asyncio.gather(*(_text(session, f"{url}/metrics") for url in urls))
    ours = os.times()
    return Look(
        at=time.monotonic(),
        metrics=dict(zip(SERVICES, texts, strict=True)),
        busy={name: machine.processor_seconds(pids) for name, pids in machine.trees(platform.roots).items()},
        ours=ours.user + ours.system,
        all=machine.busy_seconds(),
        stolen=machine.stolen_seconds(),
    )


def memory(platform: Platform) -> dict[str, float]:
    """Megabytes that each part takes now (PSS of all its processes)."""
    return {name: machine.pss(pids) for name, pids in machine.trees(platform.roots).items()}


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url, raise_for_status=True) as response:
        return await response.text()
