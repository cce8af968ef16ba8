"""Messages that nobody thought of: each is handled or parked with its bytes, and the next good event gets through.

A few hundred here; thousands in `make fuzz`.
"""

from random import Random

import pytest
from tests.fuzz.messages import published_and_settled
from tests.service.notifications.shop import Shop


@pytest.mark.row("E-4", "E-5", "E-6", "E-7", "E-8", "E-10", "E-11", "E-12")
async def test_whatever_is_published_is_handled_or_parked_with_its_bytes(shop: Shop) -> None:
    outcome = await published_and_settled(shop, Random(1), 200)  # noqa: S311 - dice that can be thrown again
    assert outcome.published == 200 == outcome.parked + outcome.done
    assert outcome.parked > 40
    assert outcome.done > 40
