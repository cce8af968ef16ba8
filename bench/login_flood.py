"""`python -m bench.login_flood`: what becomes of validation while sign-ins come at four times what can be hashed.

One auth-service at the default cost and limits, behind a proxy: the flood comes from ever new addresses for ever new
accounts, so that nothing but the hashing pool stands in its way (A12, A-23).
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec

from bench import alone
from bench.alone import Service
from bench.driver import Arrival, CallFailed, Sample, drive
from bench.figures import P50, P99, Histogram, histograms, percentile
from shopflow.auth.passwords import hashed
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Role

OVER: Final = 4.0
"""How many times more sign-ins come than can be hashed."""

VALIDATE_WITHIN: Final = 0.05
LAG_WITHIN: Final = 0.02
LAGS_WITHIN: Final = 0.999
"""The targets: seconds of validation's p99, and the share of event-loop lags that stay within 20 ms."""

_USERS: Final = 100
_PASSWORD: Final = "S3cur3P@ssw0rd!"  # noqa: S105 - of accounts that live as long as the run
_CAPACITY_SECONDS: Final = 5.0


class Flooded(msgspec.Struct, frozen=True):
    """What one flood did. Times are in milliseconds.

    Attributes:
        capacity: logins that the service answered a second, before.
        logins: how many came, by the status of their answer; `-` for none within ten seconds.
        retry_after: whether every 503 said when to come back.
        validations: how many were asked, all answered with 200.
        p50, p99, longest: what a validation took, from its intended time.
        lags: the share of event-loop lags of at most 20 ms.
        longest_lag: the largest lag since the service's start.
    """

    capacity: float
    logins: dict[str, int]
    retry_after: bool
    validations: int
    p50: float
    p99: float
    longest: float
    lags: float
    longest_lag: float

    @property
    def held(self) -> bool:
        """Whether both targets were reached."""
        return self.p99 <= VALIDATE_WITHIN * 1000 and self.lags >= LAGS_WITHIN


class Flood:
    """Floods one auth-service."""

    def __init__(self, auth: Service, tokens: Sequence[str], http: aiohttp.ClientSession) -> None:
        self._auth = auth
        self._tokens = tokens
        self._http = http
        self._logins: Counter[str] = Counter()
        self._without_retry_after = 0

    async def capacity(self) -> float:
        """Logins a second that it answers when it always has one to do for each core."""
        until = time.perf_counter() + _CAPACITY_SECONDS
        done = 0

        async def one_after_the_other() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await self._login()
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in os.sched_getaffinity(0)))
        self._logins.clear()
        return done / (time.perf_counter() - started)

    async def play(self, *, seconds: float, logins: float, validations: float, capacity: float) -> Flooded:
        """Plays both schedules side by side; rates are a second."""
        before = await self._auth.metrics(self._http)
        schedule = sorted(
            [*_arrivals("login", logins, seconds), *_arrivals("validate", validations, seconds)],
            key=lambda each: each.at,
        )
        samples = await drive(schedule, self._perform)
        after = await self._auth.metrics(self._http)
        self._logins["-"] += sum(each.error is not None for each in samples if each.arrival.what == "login")
        return self._figures(samples, _lags(before, after), _value(after, "event_loop_lag_max_seconds"), capacity)

    def _figures(self, samples: Sequence[Sample], lags: Histogram, longest_lag: float, capacity: float) -> Flooded:
        asked = [each for each in samples if each.arrival.what == "validate"]
        times = sorted(each.seconds * 1000 if each.error is None else float("inf") for each in asked)
        return Flooded(
            capacity=capacity,
            logins={status: number for status, number in sorted(self._logins.items()) if number},
            retry_after=self._without_retry_after == 0,
            validations=len(times),
            p50=percentile(times, P50),
            p99=percentile(times, P99),
            longest=times[-1],
            lags=lags.share_within(LAG_WITHIN),
            longest_lag=longest_lag * 1000,
        )

    async def _perform(self, arrival: Arrival) -> None:
        try:
            if arrival.what == "login":
                await self._login()
            else:
                await self._validate(self._tokens[arrival.subject % len(self._tokens)])
        except aiohttp.ClientError as error:
            raise CallFailed(type(error).__name__) from error

    async def _login(self) -> None:
        body = {"email": f"{uuid4().hex}@example.com", "password": _PASSWORD}
        address = "2001:db8:" + ":".join(uuid4().hex[at : at + 4] for at in range(0, 8, 4)) + "::1"
        headers = {"X-Forwarded-For": address}
        async with self._http.post(f"{self._auth.url}/auth/login", json=body, headers=headers) as answer:
            await answer.read()
            self._logins[str(answer.status)] += 1
            self._without_retry_after += answer.status == 503 and "Retry-After" not in answer.headers

    async def _validate(self, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.post(f"{self._auth.url}/auth/validate", headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise CallFailed(str(answer.status))


async def flood(*, seconds: float, validations: Sequence[float], over: float = OVER, cost: str = "12") -> list[Flooded]:
    """One flood for each rate of validations (a second), all against the same service."""
    async with alone.servers() as servers:
        env = {} if cost == "12" else {"SHOPFLOW_ENV": "test", "BCRYPT_COST": cost}
        auth = await servers.auth(TRUSTED_PROXIES="127.0.0.1", LOG_LEVEL="warning", **env)
        tokens = await people(auth, Tokens(servers.jwt_secret))
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            one = Flood(auth, tokens, http)
            capacity = await one.capacity()
            found = []
            for rate in validations:
                one = Flood(auth, tokens, http)
                found.append(
                    await one.play(seconds=seconds, logins=over * capacity, validations=rate, capacity=capacity)
                )
            return found


async def people(auth: Service, tokens: Tokens) -> list[str]:
    """A hundred users, written straight into the database; answers an access token of each."""
    password_hash = hashed(_PASSWORD, 4)
    people = [(uuid4(), f"{number}@example.com", password_hash, "Jane", "Doe") for number in range(_USERS)]
    connection = await asyncpg.connect(auth.database)
    try:
        await connection.executemany(
            "INSERT INTO users (id, email, password_hash, first_name, last_name) VALUES ($1, $2, $3, $4, $5)", people
        )
    finally:
        await connection.close()
    now = int(time.time())
    return [tokens.access(id_, email, Role.CUSTOMER, issued=now) for id_, email, *_ in people]


def _arrivals(what: str, rate: float, seconds: float) -> list[Arrival]:
    return [Arrival(number / rate, what, number) for number in range(int(rate * seconds))]


def _lags(before: str, after: str) -> Histogram:
    later, earlier = (histograms(text, "shopflow_event_loop_lag_seconds", {}) for text in (after, before))
    return later.since(earlier)


def _value(metrics: str, name: str) -> float:
    [line] = [each for each in metrics.splitlines() if each.startswith(f"shopflow_{name} ")]
    return float(line.split()[1])


def main() -> int:
    """Runs it and prints the figures; exit status 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.login_flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each flood (default 30)")
    parser.add_argument("--over", type=float, default=OVER, help="times the capacity (default 4)")
    parser.add_argument(
        "--validations", type=float, nargs="+", default=[500 / 60, 50.0], help="a second, one flood each"
    )
    options = parser.parse_args()
    found = asyncio.run(flood(seconds=options.seconds, validations=options.validations, over=options.over))
    for one in found:
        print(msgspec.json.format(msgspec.json.encode(one)).decode())
        print("held" if one.held else "missed")
    return 0 if all(one.held for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
