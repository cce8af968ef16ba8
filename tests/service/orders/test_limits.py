"""How often a user may ask order-service: a thousand times a minute over all its paths and all its instances (R22)."""

import asyncio
from collections import Counter
from dataclasses import replace

import aiohttp
import pytest
from tests.service.orders.shop import Auth, Serve, opened

from shopflow.contracts.identity import Role
from shopflow.orders.settings import Settings

LIMIT = 1000


@pytest.mark.row("O-21")
async def test_the_1001st_request_of_a_user_is_refused_whichever_of_two_instances_it_asks(
    settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession, valkey_url: str
) -> None:
    # A day, so that no window ends while this counts.
    shared = replace(settings, rate_limit_orders=f"{LIMIT}/day", rate_limit_storage_url=valkey_url)
    one, other = [await opened(shared, auth, serving, http) for _ in range(2)]
    answered: Counter[int] = Counter()

    async def ask(url: str, token: str) -> int:
        async with http.get(f"{url}/orders", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.headers["RateLimit-Policy"] == f'"orders";q={LIMIT};w=86400'
            if answer.status == 429:
                assert answer.headers["RateLimit"] == f'"orders";r=0;t={answer.headers["Retry-After"]}'
            answered[answer.status] += 1
            return answer.status

    async def customer(times: int) -> None:
        for _ in range(times):
            for shop in (one, other):
                await ask(shop.url, one.customer)

    await asyncio.gather(*(customer(LIMIT // 16) for _ in range(8)))
    await customer((LIMIT - answered.total()) // 2)
    assert answered == {200: LIMIT}
    assert [await ask(shop.url, one.customer) for shop in (one, other, one, other)] == [429] * 4
    assert await ask(other.url, auth.token(Role.CUSTOMER)) == 200


async def test_junk_tokens_count_for_their_address_and_stop_reaching_auth_service(
    settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> None:
    shop = await opened(replace(settings, rate_limit_orders="3/day"), auth, serving, http)
    answers = []
    for number in range(6):
        async with http.get(f"{shop.url}/orders", headers={"Authorization": f"Bearer junk{number}"}) as answer:
            answers.append((answer.status, answer.headers["RateLimit"].partition(";t=")[0]))
    assert answers[:3] == [(401, f'"orders-address";r={left}') for left in (2, 1, 0)]
    assert answers[3:] == [(429, '"orders-address";r=0')] * 3
