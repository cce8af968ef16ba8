"""`python -m bench.slow_clients`: what a validation takes while others hold connections and never finish a request.

One auth-service with its default limits. Each attack is played alone, after a while without one: 500 headers and 500
bodies that get a byte twice a second, and 1,000 connections that say nothing (H-1, H-2, H-11). The attackers have a
process of their own, so that what they cost a client is not taken for the service's.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from tests.attack.slow import Held, idle, slow_bodies, slow_headers

from bench import alone
from bench.login_flood import VALIDATE_WITHIN, Flood, Flooded, people
from shopflow.auth.tokens import Tokens

RATE: Final = 50.0
"""Validations a second."""

Attack = Callable[[str, int, int, float], Coroutine[None, None, Held]]

ATTACKS: Final[Mapping[str, tuple[Attack, int]]] = {
    "slow headers": (slow_headers, 500),
    "slow bodies": (slow_bodies, 500),
    "idle": (idle, 1000),
}
"""What is played, with how many connections."""


class Seen(msgspec.Struct, frozen=True):
    """One attack, or none: what validations took, in milliseconds, and what became of the attackers' connections."""

    p50: float
    p99: float
    longest: float
    opened: int = 0
    closed: int = 0


async def measured(*, seconds: float) -> dict[str, Seen]:
    """Each attack for so many seconds, after as many without one."""
    async with alone.servers() as servers:
        auth = await servers.auth(LOG_LEVEL="warning")
        tokens = await people(auth, Tokens(servers.jwt_secret))
        attackers = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            one = Flood(auth, tokens, http)
            found = {"none": _seen(await _validating(one, seconds), Held())}
            for name in ATTACKS:
                holding = asyncio.get_running_loop().run_in_executor(attackers, attacked, name, auth.url, seconds + 1)
                found[name] = _seen(await _validating(one, seconds), await holding)
            attackers.shutdown()
            return found


def attacked(name: str, url: str, seconds: float) -> Held:
    """Plays one attack; in a process of its own."""
    place, (attack, connections) = urlsplit(url), ATTACKS[name]
    return asyncio.run(attack(str(place.hostname), int(place.port or 80), connections, seconds))


async def _validating(one: Flood, seconds: float) -> Flooded:
    return await one.play(seconds=seconds, logins=0, validations=RATE, capacity=0)


def _seen(flooded: Flooded, held: Held) -> Seen:
    return Seen(flooded.p50, flooded.p99, flooded.longest, held.opened, held.closed)


def main() -> int:
    """Runs it and prints the figures; exit status 1 when validation's p99 was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_clients", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each attack (default 20)")
    found = asyncio.run(measured(seconds=parser.parse_args().seconds))
    held = all(each.p99 <= VALIDATE_WITHIN * 1000 for each in found.values())
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    print("held" if held else "missed")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
