"""Counts in a Valkey or Redis that instances share: one round trip a call, judged there, by the store's own clock.

The only file that imports the client. It counts and nothing else: what happens when the store does not answer is
`fallback`'s business.
"""

import asyncio
from collections.abc import Awaitable
from hashlib import blake2b
from typing import Any, Final, TypeVar

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.connection import SSLConnection
from valkey.exceptions import ValkeyError

from shopflow.kit.rate_limits.ladders import Ladder
from shopflow.kit.rate_limits.windows import Policy, Usage, usage

T = TypeVar("T")

DEADLINE: Final = 0.05
"""Seconds that a call may take, waiting for a connection included."""

PATIENCE: Final = 1.0
"""Seconds that a look at the store may take for which no request waits; a first connection may need them."""

_CONNECTIONS: Final = 16

# One hash a key: w is the number of a window, n the calls in it, b those in the one before. It expires by itself.
# A clock that went back begins no window: what was counted goes on counting, in the window of that moment (T-4).
_TAKE: Final = """
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local amount, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local w = math.floor(ms / length)
local kept = redis.call('HMGET', KEYS[1], 'w', 'n', 'b')
local last, n, b = tonumber(kept[1]) or w, tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
if last == w - 1 then n, b = 0, n elseif last < w then n, b = 0, 0 end
local within = ms - w * length
local full = n + b * (1 - within / length) >= amount
if not full then n = n + 1 end
if not full or last > w then
  redis.call('HSET', KEYS[1], 'w', w, 'n', n, 'b', b)
  redis.call('PEXPIRE', KEYS[1], 2 * length)
end
return {full and 1 or 0, n, b, within}
"""

# One hash a key: n failures, the last at this millisecond. It expires when it was quiet for long enough.
_ATTEMPT: Final = """
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local free, cap, forget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'n', 'at')
local n, at = tonumber(kept[1]) or 0, tonumber(kept[2]) or ms
if at > ms then
  at = ms
  redis.call('HSET', KEYS[1], 'at', at)
end
local delay = 0
if n >= free then delay = math.min(cap, 2 ^ math.min(n - free, 30)) * 1000 end
local wait = at + delay - ms
if wait > 0 then return wait end
redis.call('HSET', KEYS[1], 'n', n + 1, 'at', ms)
redis.call('PEXPIRE', KEYS[1], forget * 1000)
return 0
"""

_UNDO: Final = """
local n = tonumber(redis.call('HGET', KEYS[1], 'n') or 0)
if n > 1 then redis.call('HSET', KEYS[1], 'n', n - 1) else redis.call('DEL', KEYS[1]) end
return 0
"""


class StoreLost(Exception):
    """The store did not answer in time, or not as it should. Its cause says why."""


class Shared:
    """A store of counts that instances share.

    Args:
        url: `valkey://user:password@host:port/database`; `redis://` is the same, `valkeys://` and `rediss://` use TLS.

    Every method raises StoreLost.
    """

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=None, socket_timeout=None, socket_connect_timeout=None
        )
        if pool.connection_class is SSLConnection:
            pool.connection_kwargs["ssl_check_hostname"] = True  # the client's default takes anybody's certificate
        self._client: Any = Valkey(connection_pool=pool)
        self._take = self._client.register_script(_TAKE)
        self._attempt = self._client.register_script(_ATTEMPT)
        self._undo = self._client.register_script(_UNDO)

    async def close(self) -> None:
        """Gives its connections back."""
        await self._client.aclose(close_connection_pool=True)

    async def probe(self) -> None:
        """Counts a call that nobody makes: a store that merely answers a ping may still refuse to count."""
        _whole(await _answered(self._take([_key("probe", 1, "")], [1, 1000]), within=PATIENCE), 4)

    async def take(self, policy: Policy, key: str) -> Usage:
        """Counts one call, unless there is no room for it."""
        length = policy.seconds * 1000
        reply = await _answered(self._take([_key(policy.name, policy.seconds, key)], [policy.amount, length]))
        full, now, before, within = _whole(reply, 4)
        return usage(policy, now=now, before=before, passed=within / length, refused=bool(full))

    async def attempt(self, ladder: Ladder, key: str) -> float:
        """Counts an attempt as failed, or answers how many seconds it has to wait."""
        steps = [ladder.free, ladder.cap, ladder.forget]
        [wait] = _whole([await _answered(self._attempt([_key(ladder.name, ladder.forget, key)], steps))], 1)
        return wait / 1000

    async def forgive(self, ladder: Ladder, key: str) -> None:
        """Forgets every failure."""
        await _answered(self._client.delete(_key(ladder.name, ladder.forget, key)))

    async def undo(self, ladder: Ladder, key: str) -> None:
        """Takes back one attempt that was never made."""
        await _answered(self._undo([_key(ladder.name, ladder.forget, key)]))


def _key(name: str, seconds: int, key: str) -> str:
    """Short, of one length whatever was counted, and readable by nobody who looks into the store."""
    return f"shopflow:{name}:{seconds}:{blake2b(key.encode(), digest_size=12).hexdigest()}"


async def _answered(reply: Awaitable[T], *, within: float | None = None) -> T:
    try:
        async with asyncio.timeout(DEADLINE if within is None else within):
            return await reply
    except (ValkeyError, OSError, TimeoutError, ValueError) as error:  # ValueError: it speaks another protocol
        raise StoreLost(type(error).__name__) from error


def _whole(reply: Any, length: int) -> list[int]:
    if not isinstance(reply, list) or len(reply) != length or not all(isinstance(each, int) for each in reply):
        raise StoreLost("the script was answered by something else")
    return reply
