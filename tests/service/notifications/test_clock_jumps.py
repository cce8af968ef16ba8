"""A clock that jumps forward a day while messages are on their way: each is sent once, and nothing is parked for it."""

from datetime import timedelta

import pytest
from tests.movable_clock import MakeDatabase, MovableClock, movable
from tests.service.notifications.shop import Shop, created, until

DAY = timedelta(days=1)


@pytest.fixture
def database_of(database_of: MakeDatabase) -> MakeDatabase:
    """Databases whose clock can be moved."""
    return movable(database_of)


@pytest.mark.row("T-5")
async def test_no_message_is_parked_or_sent_twice_because_of_the_clock(shop: Shop) -> None:
    clock, orders = MovableClock(shop.database), [shop.order() for _ in range(10)]
    await shop.fail("email", "stall", seconds=0.5, count=3)
    await shop.fail("sms", "error", status=503, code=20503, count=5)
    for order in orders:
        await shop.publish(created(order))

    async def under_way() -> bool:
        return await shop.requests("email") > 0 and await shop.requests("sms") > 0

    await until(under_way)
    await clock.jump(DAY)
    await shop.until_all_are_sent()
    assert (len(await shop.messages("email")), len(await shop.messages("sms"))) == (10, 10)
    assert "park" not in await shop.verdicts()
