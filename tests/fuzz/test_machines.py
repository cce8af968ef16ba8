"""Long lives of orders and of sessions, over HTTP, against their models; tests/service plays some for a second."""

import asyncio

import aiohttp
import pytest
from tests.conftest import MakeDatabase, Serve
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report
from tests.machines import wire_orders, wire_sessions
from tests.service.auth.conftest import open_shop  # noqa: F401 - a fixture
from tests.service.auth.shop import OpenShop
from tests.service.orders.shop import Auth, opened, settings_of

STEPS = 50


@pytest.mark.timeout(1200)
@pytest.mark.row("O-22")
async def test_orders_behave_as_their_model(
    *,
    database_of: MakeDatabase,
    serving: Serve,
    http: aiohttp.ClientSession,
    parameters: Parameters,
    report: Report,
) -> None:
    auth = Auth()
    auth.url = await serving(auth.application())
    settings = settings_of(database_url=await database_of("orders"), auth_service_url=auth.url)
    shop = await opened(settings, auth, serving, http)
    examples = parameters.machine_examples
    report.say(f"orders: {examples} lives of {STEPS} steps")
    await asyncio.to_thread(
        wire_orders.play, shop, asyncio.get_running_loop(), examples=examples, steps=STEPS, dice=parameters.seed
    )
    report.keep("lives of orders", {"lives": examples, "steps at most": examples * STEPS})


@pytest.mark.timeout(1200)
@pytest.mark.row("A-9", "A-11")
async def test_sessions_behave_as_their_model(
    open_shop: OpenShop,  # noqa: F811
    parameters: Parameters,
    report: Report,
) -> None:
    shop = await open_shop()
    admin = await shop.person(admin=True)
    examples = parameters.machine_examples
    report.say(f"sessions: {examples} lives of {STEPS} steps")
    await asyncio.to_thread(
        wire_sessions.play,
        shop,
        admin,
        asyncio.get_running_loop(),
        examples=examples,
        steps=STEPS,
        dice=parameters.seed,
    )
    report.keep("lives of sessions", {"lives": examples, "steps at most": examples * STEPS})
