"""Limits behind a proxy: each client has its own, and none gets another one by writing an address."""

import pytest
from tests.service.auth.shop import OpenShop, Shop

NOBODYS = "Wr0ng!password"
CLIENT, OTHER = "198.51.100.1", "198.51.100.2"


async def statuses(shop: Shop, *forwarded: str) -> list[int]:
    """What sign-in answers to calls that come with these headers."""
    return [await status(shop, "X-Forwarded-For", each) for each in forwarded]


async def status(shop: Shop, header: str, value: str) -> int:
    """What it answers to somebody new, whose guesses are not counted together with anybody's."""
    body = {"email": f"nobody{next(shop.numbers)}@example.com", "password": NOBODYS}
    return (await shop.ask("POST", "/auth/login", body=body, headers={header: value})).status


async def test_each_client_behind_a_trusted_proxy_has_its_own_limit(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="2/day", TRUSTED_PROXIES="127.0.0.0/8")
    assert await statuses(shop, CLIENT, CLIENT, CLIENT) == [401, 401, 429]
    assert await statuses(shop, OTHER, f"{OTHER}, 127.0.0.9", f"{OTHER}:4711") == [401, 401, 429]
    assert await statuses(shop, "2001:db8::1", "[2001:db8::2]:443", "2001:db8::3") == [401, 401, 429]


@pytest.mark.row("A-15")
async def test_what_a_client_writes_opens_no_new_limit(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="2/day", TRUSTED_PROXIES="127.0.0.0/8")
    written = [f"203.0.113.{each}, {CLIENT}" for each in range(2)]
    written += [f"127.0.0.1, {CLIENT}", f"garbage, {CLIENT}", f"{'x' * 3000}, {CLIENT}", f", ,{CLIENT}"]
    assert await statuses(shop, *written) == [401, 401, 429, 429, 429, 429]


@pytest.mark.row("A-15")
async def test_without_trusted_proxies_no_header_opens_a_limit(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="2/day")
    assert await statuses(shop, *(f"203.0.113.{each}" for each in range(5))) == [401, 401, 429, 429, 429]
    for header in ("Forwarded", "X-Real-IP", "CF-Connecting-IP", "X-Client-IP"):
        assert await status(shop, header, "203.0.113.9") == 429
