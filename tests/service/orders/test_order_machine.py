"""Any sequence of calls by three users, an admin and a service, over HTTP, against the model of thirty lines (E4)."""

import asyncio

import pytest
from tests.machines.wire_orders import play
from tests.service.orders.shop import Shop


@pytest.mark.row("O-22")
async def test_the_running_service_behaves_as_the_model_of_orders(shop: Shop) -> None:
    await asyncio.to_thread(play, shop, asyncio.get_running_loop(), examples=10, steps=30)
