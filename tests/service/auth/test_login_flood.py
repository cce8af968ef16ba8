"""A flood of sign-ins is shed in time, with a word about when to come back; validation goes on as if nothing was."""

import asyncio
from collections import Counter

import pytest
from tests.service.auth.shop import OpenShop

FLOOD = 300


@pytest.mark.row("A-23")
async def test_a_flood_of_sign_ins_is_shed_and_validation_goes_on(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shopflow.auth.hashing.PATIENCE", 0.3)  # seconds; a hash of cost 8 takes some hundredths
    shop = await open_shop(BCRYPT_COST="8")
    person = await shop.person()

    async def knock(number: int) -> tuple[int, int]:
        answer = await shop.login(f"nobody{number}@example.com")
        if answer.status == 503:
            assert answer.code == "password-queue-full"
        return answer.status, int(answer.headers.get("Retry-After", 0))

    flood = asyncio.gather(*(knock(number) for number in range(FLOOD)))
    validated: Counter[int] = Counter()
    while not flood.done():
        validated[(await shop.validate(person.token)).status] += 1
    told = await flood
    assert Counter(status for status, _ in told).keys() == {401, 503}
    assert all(wait >= 1 for status, wait in told if status == 503)
    assert sum(status == 503 for status, _ in told) > FLOOD / 2  # of the excess nothing waits
    assert validated.keys() == {200}
    assert validated.total() >= 20
    assert (await shop.login(person.email)).status == 200  # and it is over when it is over
