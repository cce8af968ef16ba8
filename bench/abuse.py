"""`python -m bench.abuse`: what ten minutes of abuse leave behind in the memory of auth-service and order-service.

Everything comes at once, each kind from callers of its own: ever new addresses (through a proxy that is trusted),
tokens of junk, wrong passwords, targets, bodies and headers that are too large, requests that are none. Hashes are
cheap here, so that the abuse and not bcrypt decides how much comes in (A-15). All that is remembered has a bound: what
still grows in the second half has none.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Final
from uuid import UUID

import aiohttp
import msgspec
from yarl import URL

from bench import alone, machine
from bench.alone import Service
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Role

ADDRESSES: Final = 100_000
"""Different addresses that the abuse claims to come from."""

GROWTH: Final = 30.0
"""Megabytes that a service may have grown by."""

_CALLERS: Final = 2  # of each kind
_MEBIBYTE: Final = 1024 * 1024
_DECLARED: Final = 10 * 1024 * _MEBIBYTE
_SETTLE: Final = 3.0
_LOOKS: Final = 60  # at the memory, while the abuse goes on
_NOW_AND_THEN: Final = 0.01

Kind = Callable[["Abuser"], Awaitable[str]]


class Memory(msgspec.Struct, frozen=True):
    """What a service takes, in megabytes of 10^6 bytes: its proportional share (PSS), and all it has mapped (RSS)."""

    pss: float
    rss: float


class Look(msgspec.Struct, frozen=True):
    """PSS by service, in megabytes of 10^6 bytes, so many seconds after the abuse began."""

    seconds: float
    pss: dict[str, float]


class Abused(msgspec.Struct, frozen=True):
    """What one run did.

    Attributes:
        seconds: how long it went on.
        answers: by kind of abuse, how many were answered with which status; `cut` where the connection was.
        before, after: memory by service.
        curve: memory while it went on.
    """

    seconds: float
    answers: dict[str, dict[str, int]]
    before: dict[str, Memory]
    after: dict[str, Memory]
    curve: list[Look]

    @property
    def late_growth(self) -> dict[str, float]:
        """Megabytes of PSS by service that came in the second half: next to none, once all bounds are reached."""
        half = min(self.curve, key=lambda look: abs(look.seconds - self.seconds / 2))
        return {name: self.after[name].pss - half.pss[name] for name in self.after}

    @property
    def growth(self) -> dict[str, float]:
        """Megabytes of PSS by service."""
        return {name: self.after[name].pss - self.before[name].pss for name in self.before}

    @property
    def held(self) -> bool:
        """Whether memory stayed within its bound, and nothing was answered by a defect."""
        defects = sum(by_status.get("500", 0) for by_status in self.answers.values())
        return defects == 0 and all(each <= GROWTH for each in self.growth.values())


class Abuser:
    """One hostile caller: where it sends what, and from which addresses."""

    def __init__(self, services: Mapping[str, Service], tokens: Tokens, http: aiohttp.ClientSession, seed: int) -> None:
        self.dice = random.Random(seed)
        self.http = http
        self._services = services
        self._tokens = tokens

    def url(self, path: str) -> str:
        """Where a path is served."""
        return self._services["orders" if path.startswith("/orders") else "auth"].url + path

    def address(self) -> str:
        """One of the addresses, IPv4 and IPv6 in turn; each IPv6 one is a network of its own."""
        number = self.dice.randrange(ADDRESSES)
        if number % 2:
            return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        return f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"

    def token(self) -> str:
        """A token that somebody else signed, or text that is none."""
        if self.dice.random() < 0.5:
            return self.dice.randbytes(self.dice.randrange(1, 600)).hex()
        user = UUID(int=self.dice.getrandbits(128))
        token = self._tokens.access(user, f"{user.hex}@example.com", Role.CUSTOMER, issued=int(time.time()))
        return token if self.dice.random() < 0.5 else token[:-2] + "xx"  # well signed, of nobody; or badly

    async def send(self, method: str, path: str | URL, **options: object) -> str:
        """One request from a new address, to a path or to a whole URL; answers the status."""
        headers = {"X-Forwarded-For": self.address(), **_headers(options.pop("headers", {}))}
        url = self.url(path) if isinstance(path, str) else path
        request = self.http.request(method, url, headers=headers, **options)  # type: ignore[arg-type]
        async with request as answer:
            await answer.read()
            return str(answer.status)


def _headers(given: object) -> dict[str, str]:
    return dict(given) if isinstance(given, Mapping) else {}


async def knock(abuser: Abuser) -> str:
    """Anything, from ever new addresses."""
    path = abuser.dice.choice(["/auth/login", "/auth/refresh", "/auth/register"])
    return await abuser.send("POST", path, json={"refresh_token": abuser.token()})


async def junk_tokens(abuser: Abuser) -> str:
    """Tokens that do not hold."""
    method, path = abuser.dice.choice(
        [
            ("GET", "/orders"),
            ("POST", "/auth/validate"),
            ("GET", f"/auth/users/{UUID(int=abuser.dice.getrandbits(128))}"),
        ]
    )
    return await abuser.send(method, path, headers={"Authorization": f"Bearer {abuser.token()}"})


async def guesses(abuser: Abuser) -> str:
    """Wrong passwords, of one account and of ever new ones."""
    email = "admin@example.com" if abuser.dice.random() < 0.2 else f"{abuser.dice.getrandbits(64):x}@example.com"
    return await abuser.send("POST", "/auth/login", json={"email": email, "password": "Wr0ng-P@ssw0rd!"})


async def strangers(abuser: Abuser) -> str:
    """Paths, methods and queries that nobody knows."""
    method = abuser.dice.choice(["GET", "POST", "PUT", "BREW", "OPTIONS"])
    path = abuser.dice.choice(["/orders", "/auth"]) + f"/{abuser.dice.getrandbits(64):x}"
    return await abuser.send(method, path, params={f"q{abuser.dice.getrandbits(32):x}": "x" * 200})


async def long_targets(abuser: Abuser) -> str:
    """Paths and queries of many kilobytes, each another: of ids, for what remembers paths that it was asked for."""
    odd = "%F0%9F%98%80" + f"{abuser.dice.getrandbits(64):x}" * abuser.dice.randrange(1, 600)
    targets = [f"/orders/{odd}", f"/auth/users/{odd}", f"/orders?q={odd}", "/auth/users?" + "a&" * 999]
    target = abuser.dice.choice(targets)
    return await abuser.send("GET", URL(abuser.url(target), encoded=True), headers={"Authorization": "Bearer x"})


async def deep_bodies(abuser: Abuser) -> str:
    """JSON that is deep, wide, or no JSON."""
    width = abuser.dice.randrange(1, 7000)
    data = abuser.dice.choice([b"[" * width, b'{"a":' * width, b'"' + b"\xff" * width, b"1" * width])
    path = abuser.dice.choice(["/auth/login", "/auth/register"])
    return await abuser.send("POST", path, data=data, headers={"Content-Type": "application/json"})


async def large_bodies(abuser: Abuser) -> str:
    """Two megabytes where some are too many."""
    path = abuser.dice.choice(["/auth/register", "/orders"])
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {abuser.token()}"}
    return await abuser.send("POST", path, data=BytesIO(b" " * 2 * _MEBIBYTE), headers=headers)


async def endless_bodies(abuser: Abuser) -> str:
    """Ten gigabytes are announced, some come, then nothing."""
    lines = [
        "POST /auth/login HTTP/1.1",
        "Host: shop",
        f"X-Forwarded-For: {abuser.address()}",
        "Content-Type: application/json",
        f"Content-Length: {_DECLARED}",
    ]
    return await _raw(abuser, "\r\n".join(lines).encode() + b"\r\n\r\n" + b" " * 65536)


async def long_headers(abuser: Abuser) -> str:
    """A header of 60 KB, or two hundred of them."""
    await asyncio.sleep(_NOW_AND_THEN)
    many = [f"X-{number}: {abuser.dice.getrandbits(64):x}" for number in range(200)]
    lines = ["POST /auth/login HTTP/1.1", "Host: shop", "Content-Length: 0"]
    lines += many if abuser.dice.random() < 0.5 else [f"X-Long: {'x' * 60_000}"]
    return await _raw(abuser, "\r\n".join(lines).encode() + b"\r\n\r\n")


async def broken_off(abuser: Abuser) -> str:
    """Half a request, and gone; now and then, or it would be the only thing that this machine does."""
    await asyncio.sleep(_NOW_AND_THEN)
    return await _raw(abuser, b"POST /auth/login HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n{", wait=False)


KINDS: Final[tuple[Kind, ...]] = (
    knock,
    junk_tokens,
    guesses,
    strangers,
    long_targets,
    deep_bodies,
    large_bodies,
    endless_bodies,
    long_headers,
    broken_off,
)


async def abuse(*, seconds: float, seed: int = 1) -> Abused:
    """Abuses two services of its own for so long."""
    async with alone.servers() as servers:
        common = {"SHOPFLOW_ENV": "test", "TRUSTED_PROXIES": "127.0.0.1", "LOG_LEVEL": "error"}
        auth = await servers.auth(BCRYPT_COST="4", **common)
        services = {"auth": auth, "orders": await servers.orders(auth, **common)}
        answers: dict[str, Counter[str]] = {kind.__name__: Counter() for kind in KINDS}
        before, curve = _memory(services), list[Look]()
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

            async def caller(kind: Kind, number: int) -> None:
                abuser = Abuser(services, Tokens(servers.jwt_secret), http, seed * 1000 + number)
                while time.monotonic() < until:
                    answers[kind.__name__][await _answer(kind, abuser)] += 1

            async def watch() -> None:
                while (left := until - time.monotonic()) > 0:
                    pss = {name: memory.pss for name, memory in _memory(services).items()}
                    curve.append(Look(round(seconds - left, 1), pss))
                    await asyncio.sleep(min(left, seconds / _LOOKS))

            await asyncio.gather(watch(), *(caller(kind, number) for number in range(_CALLERS) for kind in KINDS))
        await asyncio.sleep(_SETTLE)
        return Abused(
            seconds=seconds,
            answers={name: dict(sorted(counted.items())) for name, counted in answers.items()},
            before=before,
            after=_memory(services),
            curve=curve,
        )


async def _answer(kind: Kind, abuser: Abuser) -> str:
    try:
        async with asyncio.timeout(30):
            return await kind(abuser)
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError):
        return "cut"


async def _raw(abuser: Abuser, sent: bytes, *, wait: bool = True) -> str:
    port = int(abuser.url("/auth").rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        await writer.drain()
        status = await reader.readline() if wait else b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return status.split()[1].decode() if len(status.split()) > 1 else "cut"


def _memory(services: Mapping[str, Service]) -> dict[str, Memory]:
    return {name: Memory(machine.pss([each.pid]), machine.rss(each.pid)) for name, each in services.items()}


def main() -> int:
    """Runs it and prints the figures; exit status 1 when a service grew by more than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.abuse", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default 600)")
    parser.add_argument("--seed", type=int, default=1, help="where the dice begin (default 1)")
    options = parser.parse_args()
    found = asyncio.run(abuse(seconds=options.seconds, seed=options.seed))
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    for name, grown in found.growth.items():
        print(f"{name}: grown by {grown:.1f} MB, {found.late_growth[name]:.1f} of them in the second half")
    print("held" if found.held else "missed")
    return 0 if found.held else 1


if __name__ == "__main__":
    sys.exit(main())
