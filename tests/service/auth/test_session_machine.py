"""Any sequence of what can happen to somebody's sessions, over HTTP, against the model of tests/unit's machine (E4)."""

import asyncio

import pytest
from tests.machines.wire_sessions import play
from tests.service.auth.shop import Shop


@pytest.mark.row("A-9", "A-11")
async def test_the_running_service_behaves_as_the_model_of_sessions(shop: Shop) -> None:
    admin = await shop.person(admin=True)
    await asyncio.to_thread(play, shop, admin, asyncio.get_running_loop(), examples=8, steps=25)
