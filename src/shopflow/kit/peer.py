"""HTTP to one neighbour: one pool for the life of the process, one deadline, one safe retry, the trace carried on.

The only file besides the Twilio channel that imports the HTTP client. What an answer means is decided in `clients/`.
"""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from shopflow.kit import traces
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import unavailable

DEADLINE: Final = 1.0
"""Seconds a call may take, the second try included (B11)."""

_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None, sock_connect=0.25)
# What a second try may mend. The client tries every other method than POST a second time by itself when a connection
# breaks, so that only a connection that was not made in time is left for us.
_PASSING: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ConnectionTimeoutError)

_MAX_ANSWER: Final = 4 * 1024 * 1024
KEEP_ALIVE: Final = 8.0
"""Seconds an idle connection is kept: less than the server keeps it, so that a reused one is rarely a closed one."""

NAMES_KEPT: Final = 10
"""Seconds for which the address of a name is remembered: a neighbour that moved is found after that (N-6)."""


class Answer(NamedTuple):
    """What the neighbour said, whatever its status."""

    status: int
    body: bytes
    retry_after: int | None


class Peer:
    """One neighbour.

    Args:
        name: the service's name, for problems and metrics.
        url: its base URL.
        metrics: where the time of calls is recorded.
    """

    def __init__(self, name: str, url: str, *, metrics: Metrics) -> None:
        self.name = name
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._seconds = metrics.histogram(
            "peer_request_seconds", "Time a call to a neighbour takes.", ("peer",)
        ).labels(name)
        self._failures = metrics.counter(
            "peer_failures_total", "Calls to a neighbour that brought no answer.", ("peer",)
        ).labels(name)

    async def open(self) -> None:
        """Makes the pool; no connection is opened before the first call."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=256, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=NAMES_KEPT, happy_eyeballs_delay=None
            ),
            timeout=_TIMEOUTS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        """Closes the pool."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """One call without a body. It must be safe to repeat: a connection that breaks is tried once more.

        Raises:
            Problem: of kind unavailable, when there is no answer within a second.
        """
        sent = {**traces.carried(), **headers}
        passing = _PASSING if method == "POST" else aiohttp.ConnectionTimeoutError
        started = perf_counter()
        try:
            async with asyncio.timeout(DEADLINE):
                try:
                    return await self._once(method, path, sent)
                except passing:
                    # A pooled connection that the neighbour closed while we picked it up, or one that was not made yet.
                    return await self._once(method, path, sent)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failures.inc()
            raise unavailable(f"{self.name}-unavailable", f"{self.name} does not answer; try again.") from error
        finally:
            self._seconds.observe(perf_counter() - started)

    async def _once(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        if self._session is None:
            raise RuntimeError("the peer is used before it was opened")
        url = URL(self._url + path, encoded=True)
        async with self._session.request(method, url, headers=headers, allow_redirects=False) as response:
            body = await _whole(response)
            return Answer(response.status, body, _seconds(response.headers.get("Retry-After")))

    async def answers(self) -> bool:
        """Whether the neighbour is there; for `/ready`."""
        try:
            async with asyncio.timeout(DEADLINE):
                return (await self._once("GET", "/health", {})).status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body, bounded: a neighbour that never stops talking must not fill our memory."""
    if response.content_length is not None and response.content_length <= _MAX_ANSWER:
        return await response.read()
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > _MAX_ANSWER:
            response.close()
            raise aiohttp.ClientPayloadError("the answer is too large")
    return bytes(parts)


def _seconds(retry_after: str | None) -> int | None:
    return int(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
