"""A clock that jumps forward a day: whoever is signed in stays it, nobody is locked out, and all goes on afterwards."""

from datetime import timedelta

import pytest
from tests.movable_clock import MakeDatabase, MovableClock, movable
from tests.service.auth.shop import Shop

DAY = timedelta(days=1)


@pytest.fixture
def database_of(database_of: MakeDatabase) -> MakeDatabase:
    """Databases whose clock can be moved."""
    return movable(database_of)


@pytest.mark.row("T-5")
async def test_who_is_signed_in_stays_it_and_an_access_token_ends_as_it_says(shop: Shop) -> None:
    clock, person = MovableClock(shop.database_url), await shop.person()
    assert (await shop.validate(person.token)).status == 200
    await clock.jump(DAY)
    ended = await shop.validate(person.token)
    assert (ended.status, ended.code) == (401, "token-expired")
    pair = (await shop.refresh(person.refresh_token)).body
    assert (await shop.validate(pair["access_token"])).status == 200
    assert (await shop.login(person.email)).status == 200
    await clock.jump(30 * DAY)  # a day less than thirty days after it was used
    pair = (await shop.refresh(pair["refresh_token"])).body
    assert (await shop.validate(pair["access_token"])).status == 200


@pytest.mark.row("T-5")
async def test_when_the_clock_is_put_right_again_sessions_go_on(shop: Shop) -> None:
    clock, before = MovableClock(shop.database_url), await shop.person()
    await clock.jump(DAY)
    meanwhile = await shop.person()
    await clock.jump(timedelta())
    assert (await shop.validate(before.token)).status == 200
    assert (await shop.validate(meanwhile.token)).status == 401  # it is from a day that has not come
    for person in (before, meanwhile):
        pair = (await shop.refresh(person.refresh_token)).body
        assert (await shop.validate(pair["access_token"])).status == 200
        assert (await shop.login(person.email)).status == 200
