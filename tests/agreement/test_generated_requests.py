"""Requests that nobody thought of, to all three services as production runs them: some hundreds here, to see that the
documents and the answers agree; hundreds of thousands in `make fuzz`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conftest import MakeDatabase
from tests.fuzz.campaign import campaign_on
from tests.fuzz.stand import Stand, opened

SERVICES = ("auth", "orders", "notifications")


@pytest.fixture
async def stand(database_of: MakeDatabase, broker_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """The three services, ready."""
    async with opened(database_of, broker_url, tmp_path) as services:
        yield services


async def test_the_services_answer_generated_requests_as_they_describe(stand: Stand) -> None:
    for service in SERVICES:
        campaign = campaign_on(stand, service, await stand.document(service))
        for phases in (("examples", "fuzzing"), ("stateful",)):
            await asyncio.to_thread(campaign.round, "admin", seed=1, examples=3, most=400, phases=phases)
        assert campaign.figures.failures == {}
        assert campaign.figures.requests >= 100
    for each in stand.services.values():
        assert each.complaints() == []
        assert each.leaks() == []
