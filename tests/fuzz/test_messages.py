"""Thousands of broker messages as strangers would publish them: what tests/service does with a few hundred."""

from random import Random

import pytest
from tests.fuzz.messages import published_and_settled
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report
from tests.service.notifications.conftest import (  # noqa: F401 - fixtures
    _credentials,
    alone,
    around,
    auth,
    broker,
    orders,
    providers,
    settings,
    shop,
)
from tests.service.notifications.shop import Shop


@pytest.mark.timeout(1800)
@pytest.mark.row("E-4", "E-5", "E-6", "E-7", "E-8", "E-9", "E-10", "E-11", "E-12", "E-13")
async def test_whatever_is_published_is_handled_or_parked_with_its_bytes(
    shop: Shop,  # noqa: F811
    parameters: Parameters,
    report: Report,
) -> None:
    dice = Random(parameters.seed)  # noqa: S311 - dice that can be thrown again
    outcome = await published_and_settled(shop, dice, parameters.messages, say=report.say)
    report.keep("messages", {"published": outcome.published, "parked": outcome.parked, "handled": outcome.done})
    assert outcome.published == parameters.messages == outcome.parked + outcome.done
