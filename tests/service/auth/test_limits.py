"""How often somebody may ask: per address without a token, per user with one, and never for services (R1, R22).

The windows are days: one that ended while a test counts would let one more through, as it should.
"""

import asyncio
from collections import Counter

import pytest
from tests.service.auth.shop import SECRET, Answer, OpenShop, Shop

from shopflow.auth.settings import Settings
from shopflow.kit.settings import read
from shopflow.local.ports import free_port

DAY = 24 * 60 * 60
REQUIRED = {"DATABASE_URL": "postgresql://127.0.0.1/auth", "JWT_SECRET": SECRET}


async def statuses(
    shop: Shop, times: int, method: str, path: str, *, token: str | None = None, body: object = None
) -> Counter[int]:
    return Counter([(await shop.ask(method, path, token=token, body=body)).status for _ in range(times)])


async def logout(shop: Shop) -> Answer:
    return await shop.ask("POST", "/auth/logout", body={"refresh_token": "junk"})


async def test_register_login_refresh_and_logout_share_one_bucket_of_an_address(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="8/day")
    for _ in range(2):
        assert (await shop.register()).status == 201
        assert (await shop.login("nobody@example.com")).status == 401
        assert (await shop.refresh("junk")).status == 401
        assert (await logout(shop)).status == 204
    refused = [await shop.register(), await shop.login("nobody@example.com"), await shop.refresh("junk")]
    for answer in (*refused, await logout(shop)):
        assert (answer.status, answer.code) == (429, "too-many-requests")
        assert 1 <= int(answer.headers["Retry-After"]) <= DAY
    assert await shop.database.fetchval("SELECT count(*) FROM users") == 2


async def test_what_breaks_a_rule_counts_too(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="3/day")
    assert await statuses(shop, 5, "POST", "/auth/login", body={}) == {400: 3, 429: 2}


async def test_a_forwarded_address_opens_no_other_bucket(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="3/day")
    answers = [
        await shop.ask("POST", "/auth/login", body={}, headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(5)
    ]
    assert Counter(answer.status for answer in answers) == {400: 3, 429: 2}


async def test_profiles_count_per_user_and_not_for_services(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="5/day")
    one, other = await shop.person(), await shop.person()
    assert await statuses(shop, 7, "GET", f"/auth/users/{one.id}", token=one.token) == {200: 5, 429: 2}
    assert await statuses(shop, 5, "GET", f"/auth/users/{other.id}", token=other.token) == {200: 5}
    assert await statuses(shop, 20, "GET", f"/auth/users/{one.id}", token=shop.service()) == {200: 20}


async def test_junk_tokens_count_for_their_address_and_spoil_nothing_for_good_ones(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="5/day")
    person = await shop.person()  # two calls of the address
    assert await statuses(shop, 6, "GET", f"/auth/users/{person.id}", token="junk") == {401: 3, 429: 3}
    assert await statuses(shop, 3, "GET", f"/auth/users/{person.id}", token=person.token) == {200: 3}
    assert await statuses(shop, 3, "GET", f"/auth/users/{person.id}", token=shop.service()) == {200: 3}


async def test_validation_is_never_limited(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="3/day")
    person = await shop.person()
    assert await statuses(shop, 50, "POST", "/auth/validate", token=person.token) == {200: 50}
    assert await statuses(shop, 50, "POST", "/auth/validate", token="junk") == {401: 50}


async def test_every_counted_call_is_told_what_is_left_and_a_refusal_when_to_come_back(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="4/day")
    person = await shop.person()
    left = [await shop.login(person.email) for _ in range(2)] + [await shop.refresh("junk")]
    assert [answer.status for answer in left] == [200, 200, 429]
    for answer, remaining in zip(left, (1, 0, 0), strict=True):
        assert answer.headers["RateLimit-Policy"] == f'"auth";q=4;w={DAY}'
        assert answer.headers["RateLimit"].startswith(f'"auth";r={remaining};t=')
    assert left[2].headers["RateLimit"] == f'"auth";r=0;t={left[2].headers["Retry-After"]}'
    profile = await shop.ask("GET", f"/auth/users/{person.id}", token=person.token)
    assert profile.headers["RateLimit"].startswith('"user";r=3;t=')
    unlimited = await shop.ask("GET", f"/auth/users/{person.id}", token=shop.service())
    assert "RateLimit" not in unlimited.headers


@pytest.mark.row("A-15")
@pytest.mark.parametrize("proxies", ["", "192.0.2.0/24"])
async def test_the_101st_attempt_in_a_minute_is_refused_whatever_addresses_it_claims(
    open_shop: OpenShop, proxies: str
) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="100/day", TRUSTED_PROXIES=proxies)
    assert read(Settings, REQUIRED).rate_limit == "100/minute"  # a day, so that no window ends while this counts
    claims = ("198.51.100.{n}", "203.0.113.9, 198.51.100.{n}", "2001:db8:0:{n:x}::1", "nonsense{n}")
    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
    answers = [
        await shop.ask(
            "POST", "/auth/login", body={}, headers={names[n % 3]: claims[n % 4].format(n=n), "Connection": "close"}
        )
        for n in range(102)
    ]
    assert [answer.status for answer in answers] == [400] * 100 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= DAY


@pytest.mark.row("A-15")
async def test_an_ipv6_address_counts_as_its_network(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="3/day", TRUSTED_PROXIES="127.0.0.1")

    async def status(address: str) -> int:
        return (await shop.ask("POST", "/auth/login", body={}, headers={"X-Forwarded-For": address})).status

    assert [await status(f"2001:db8:0:1::{n:x}") for n in range(1, 6)] == [400] * 3 + [429] * 2
    assert await status("2001:db8:0:2::1") == 400
    assert [await status("::ffff:198.51.100.7") for _ in range(2)] + [await status("198.51.100.7")] == [400] * 3
    assert await status("198.51.100.7") == 429


@pytest.mark.row("A-15")
async def test_each_forwarded_address_is_a_key_of_its_own_and_shows_in_the_metrics(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="100/minute", TRUSTED_PROXIES="127.0.0.1")
    gate = asyncio.Semaphore(32)

    async def knock(number: int) -> int:
        async with gate:
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            return (await shop.ask("POST", "/auth/login", body={}, headers={"X-Forwarded-For": address})).status

    assert set(await asyncio.gather(*(knock(number) for number in range(2_000)))) == {400}
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        text = await answer.text()
    [keys] = [float(line.split()[1]) for line in text.splitlines() if line.startswith("shopflow_rate_limit_keys ")]
    assert 2_000 <= keys <= 4_000


@pytest.mark.row("A-16")
async def test_ten_thousand_validations_from_one_address_are_all_answered(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="100/minute")
    person = await shop.person()
    headers = {"Authorization": f"Bearer {person.token}"}
    answered: Counter[int] = Counter()

    async def order_service() -> None:
        for _ in range(500):
            async with shop.http.post(f"{shop.url}/auth/validate", headers=headers) as answer:
                answered[answer.status] += 1

    await asyncio.gather(*(order_service() for _ in range(20)))
    assert answered == {200: 10_000}


async def test_two_instances_that_share_a_store_let_through_what_one_may(open_shop: OpenShop, valkey_url: str) -> None:
    variables = {"RATE_LIMIT_AUTH": "100/day", "RATE_LIMIT_STORAGE_URL": valkey_url}
    one = await open_shop(**variables)
    other = await open_shop(**variables, DATABASE_URL=one.database_url)
    answers = [await each.ask("POST", "/auth/login", body={}) for _ in range(51) for each in (one, other)]
    assert [answer.status for answer in answers] == [400] * 100 + [429] * 2
    assert answers[99].headers["RateLimit"].startswith('"auth";r=0;t=')
    assert answers[100].headers["RateLimit"] == f'"auth";r=0;t={answers[100].headers["Retry-After"]}'


async def test_without_its_store_an_instance_is_degraded_and_still_limits(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="3/day", RATE_LIMIT_STORAGE_URL=f"redis://127.0.0.1:{free_port()}")
    assert await statuses(shop, 5, "POST", "/auth/login", body={}) == {400: 3, 429: 2}
    ready = await shop.ask("GET", "/ready")
    assert (ready.status, ready.body["status"]) == (200, "degraded")
    assert ready.body["checks"]["rate-limit-store"] == "unavailable"
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        text = await answer.text()
    assert "shopflow_rate_limit_store_fallback 1.0" in text
    assert 'shopflow_rate_limited_total{policy="auth"} 2.0' in text
