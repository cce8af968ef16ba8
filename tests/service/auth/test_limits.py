"""How often somebody may ask: per address without a token, per user with one, and never for services (R1, R22).

The windows are days: one that ended while a test counts would let one more through, as it should.
"""

from collections import Counter

from tests.service.auth.shop import OpenShop, Shop

DAY = 24 * 60 * 60


async def statuses(
    shop: Shop, times: int, method: str, path: str, *, token: str | None = None, body: object = None
) -> Counter[int]:
    return Counter([(await shop.ask(method, path, token=token, body=body)).status for _ in range(times)])


async def test_register_login_and_refresh_share_one_bucket_of_an_address(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="6/day")
    for _ in range(2):
        assert (await shop.register()).status == 201
        assert (await shop.login("nobody@example.com")).status == 401
        assert (await shop.refresh("junk")).status == 401
    for answer in (await shop.register(), await shop.login("nobody@example.com"), await shop.refresh("junk")):
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
