"""How long a failing login takes tells nothing: neither that an address has an account, nor that it is active (A8).

The cost of a hash is far below production's here, so that a difference in anything else weighs the more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from random import Random
from statistics import median
from time import perf_counter

import pytest
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report
from tests.service.auth.conftest import open_shop  # noqa: F401 - a fixture
from tests.service.auth.shop import PASSWORD, OpenShop, Shop

from shopflow.auth.passwords import hashed

COST = 6
APART = 6.0
"""Standard deviations beyond which two classes can be told apart; chance gets there once in hundreds of millions."""

ALIKE = ("unknown", "wrong password", "inactive and wrong password", "73 bytes")
WRONG = "Wr0ng-Passw0rd!"
ADDED = """
INSERT INTO users (email, password_hash, first_name, last_name, is_active)
SELECT format('%s%s@example.com', $1::text, number), $2, 'Jane', 'Doe', $3 FROM generate_series(1, $4) AS number
"""


@pytest.mark.timeout(1200)
@pytest.mark.row("A-13", "A-14")
async def test_failing_logins_cannot_be_told_apart_by_their_time(
    open_shop: OpenShop,  # noqa: F811
    parameters: Parameters,
    report: Report,
) -> None:
    shop = await open_shop(BCRYPT_COST=str(COST))
    samples = parameters.samples
    await _accounts(shop, samples)
    report.say(f"timing: {samples} logins of each kind")
    taken = await _timed(shop, samples, Random(parameters.seed))  # noqa: S311 - dice that can be thrown again
    report.keep("timing", {name: f"{median(times) * 1000:.2f} ms" for name, times in taken.items()} | _told(taken))
    for one, other in combinations(ALIKE, 2):
        assert abs(distance(taken[one], taken[other])) < APART, (one, other)
    assert abs(distance(taken["empty, known"], taken["empty, unknown"])) < APART
    # The instrument works: what never comes to a hash is told apart.
    assert abs(distance(taken["empty, known"], taken["wrong password"])) > APART


def test_the_distance_of_equal_and_of_shifted_samples() -> None:
    dice = Random(1)  # noqa: S311 - dice that can be thrown again
    one, other = ([dice.gauss(20, 2) for _ in range(200)] for _ in range(2))
    assert abs(distance(one, other)) < 3
    assert abs(distance(one, [each + 1.5 for each in other])) > APART
    assert distance([1, 2], [3, 4]) == -distance([3, 4], [1, 2])


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """How far apart two samples are by ranks (Mann and Whitney's U), in standard deviations of what chance does."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, start=1) if is_one)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    return (u - n * m / 2) / sqrt(n * m * (n + m + 1) / 12)


async def _accounts(shop: Shop, number: int) -> None:
    """An account for each login: whoever fails often has to wait, and is answered sooner."""
    password_hash = await asyncio.to_thread(hashed, PASSWORD, COST)
    for name in ("known", "long", "inactive", "empty"):
        await shop.database.execute(ADDED, name, password_hash, name != "inactive", number)


async def _timed(shop: Shop, number: int, dice: Random) -> dict[str, list[float]]:
    kinds = {
        "unknown": ("nobody", WRONG, 401),
        "wrong password": ("known", WRONG, 401),
        "inactive and wrong password": ("inactive", WRONG, 401),
        "73 bytes": ("long", "Aa1!" + "x" * 69, 401),
        "empty, known": ("empty", "", 400),
        "empty, unknown": ("void", "", 400),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for index in range(1, number + 1):
        for name in dice.sample(list(kinds), len(kinds)):
            account, password, status = kinds[name]
            started = perf_counter()
            answer = await shop.login(f"{account}{index}@example.com", password)
            taken[name].append(perf_counter() - started)
            assert answer.status == status
    return taken


def _told(taken: Mapping[str, Sequence[float]]) -> dict[str, str]:
    far = max(combinations(ALIKE, 2), key=lambda pair: abs(distance(taken[pair[0]], taken[pair[1]])))
    return {"furthest apart": f"{abs(distance(taken[far[0]], taken[far[1]])):.1f} of {APART}"}
