"""Who guesses passwords waits longer each time, from however many addresses; the owner, at home, never does (A11)."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.service.auth.shop import PASSWORD, SECRET, Answer, OpenShop, Shop

from shopflow.auth import known_addresses
from shopflow.auth.attempts import LADDER, Attempts
from shopflow.auth.hashing import Hashing
from shopflow.auth.tokens import Tokens
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, Problem
from shopflow.kit.rate_limits import Delay
from shopflow.kit.rate_limits.memory import Memory

HOME = "198.51.100.7"
AWAY = "203.0.113.9"
WRONG = "Wr0ng-P@ssw0rd!"


async def opened(open_shop: OpenShop, **variables: str) -> Shop:
    """auth-service behind a proxy, with a limit that no test here reaches."""
    return await open_shop(RATE_LIMIT_AUTH="100000/day", TRUSTED_PROXIES="127.0.0.1", **variables)


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    return await opened(open_shop)


async def login(shop: Shop, email: str, password: str = PASSWORD, *, address: str = AWAY) -> Answer:
    body = {"email": email, "password": password}
    return await shop.ask("POST", "/auth/login", body=body, headers={"X-Forwarded-For": address})


async def account(shop: Shop) -> str:
    """The e-mail address of a new account that never signed in."""
    return str((await shop.register()).body["email"])


async def guesses(shop: Shop, email: str, times: int, *, address: str = AWAY) -> list[int]:
    return [(await login(shop, email, WRONG, address=address)).status for _ in range(times)]


async def refusal(shop: Shop, email: str, *, address: str = AWAY) -> Answer:
    """The answer to one guess too many: the sixth, unless the machine stood still for as long as it has to wait."""
    assert await guesses(shop, email, 5, address=address) == [401] * 5
    while (answer := await login(shop, email, WRONG, address=address)).status == 401:
        pass
    return answer


async def hashes(shop: Shop) -> float:
    """How many passwords were hashed so far."""
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("shopflow_password_hash_seconds_count"))


async def test_after_five_failures_a_guess_waits_and_nothing_is_hashed(shop: Shop) -> None:
    email = await account(shop)
    before = await hashes(shop)
    answer = await refusal(shop, email)
    assert (answer.status, answer.code) == (429, "too-many-failures")
    wait = int(answer.headers["Retry-After"])
    assert wait == 1
    assert answer.headers["RateLimit"] == f'"sign-in-failures";r=0;t={wait}'
    assert answer.headers["RateLimit-Policy"] == '"sign-in-failures";q=5;w=900'
    assert await hashes(shop) == before + 5
    await asyncio.sleep(wait)
    assert (await login(shop, email)).status == 200


async def test_an_address_without_an_account_is_answered_exactly_like_one_with(shop: Shop) -> None:
    def seen(answer: Answer) -> tuple[Any, ...]:
        told = {name: answer.headers.get(name) for name in ("Retry-After", "RateLimit-Policy", "RateLimit")}
        return answer.status, answer.code, answer.body["detail"], told

    known, unknown = [seen(await refusal(shop, email)) for email in (await account(shop), "nobody@example.com")]
    assert known == unknown
    assert known[:2] == (429, "too-many-failures")


async def test_guesses_that_come_together_or_from_many_addresses_are_no_way_around(shop: Shop) -> None:
    email = await account(shop)
    answers = await asyncio.gather(*(login(shop, email, WRONG, address=f"192.0.2.{n}") for n in range(50)))
    counted = Counter(answer.status for answer in answers)
    assert counted[401] <= 7  # the five that are free, and one or two more where the machine was slow
    assert counted[429] == 50 - counted[401]


@pytest.mark.row("A-17")
async def test_the_owner_signs_in_at_home_while_an_attacker_hammers_the_account(shop: Shop) -> None:
    email = await account(shop)
    assert (await login(shop, email, address=HOME)).status == 200
    over = asyncio.Event()
    attacked: Counter[int] = Counter()

    async def attack(number: int) -> None:
        while not over.is_set():
            attacked[(await login(shop, email, WRONG, address=f"192.0.2.{number}")).status] += 1

    attackers = [asyncio.create_task(attack(number)) for number in range(8)]
    while attacked[429] < 50:
        await asyncio.sleep(0.01)
    answers = [await login(shop, email, address=HOME) for _ in range(10)]
    assert [answer.status for answer in answers] == [200] * 10
    over.set()
    await asyncio.gather(*attackers)
    assert attacked.keys() == {401, 429}
    changed = await shop.ask(
        "POST",
        "/auth/password",
        token=answers[-1].body["access_token"],
        body={"current_password": PASSWORD, "new_password": WRONG},
        headers={"X-Forwarded-For": HOME},
    )
    assert changed.status == 204


@pytest.mark.row("A-17")
async def test_a_home_stays_known_while_secrets_are_changed(shop: Shop, open_shop: OpenShop) -> None:
    email = await account(shop)
    assert (await login(shop, email, address=HOME)).status == 200
    secrets = {"JWT_SECRET": "the new secret, also of more than thirty-two bytes", "JWT_SECRET_PREVIOUS": SECRET}
    changed = await opened(open_shop, DATABASE_URL=shop.database_url, **secrets)
    assert (await refusal(changed, email)).status == 429
    pairs = [(await login(changed, email, address=HOME)).body for _ in range(2)]
    await changed.ask(
        "POST",
        "/auth/password",
        token=pairs[-1]["access_token"],
        body={"current_password": PASSWORD, "new_password": WRONG},
        headers={"X-Forwarded-For": HOME},
    )
    assert (await login(changed, email, WRONG, address=HOME)).status == 200


async def test_an_ipv6_home_is_a_network(shop: Shop) -> None:
    email = await account(shop)
    assert (await login(shop, email, address="2001:db8:1:2::3")).status == 200
    assert (await refusal(shop, email)).status == 429
    assert (await login(shop, email, address="2001:db8:1:2:ffff::1")).status == 200
    assert (await login(shop, email, address="2001:db8:1:3::3")).status in {200, 429}


async def test_the_right_password_forgives_the_failures(shop: Shop) -> None:
    email = await account(shop)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert await guesses(shop, email, 4) == [401] * 4
        assert (await login(shop, email, address=address)).status == 200


async def test_a_deactivated_account_waits_like_any_other(shop: Shop) -> None:
    email = await account(shop)
    await shop.database.execute("UPDATE users SET is_active = false WHERE email = $1", email)
    assert (await refusal(shop, email)).status == 429


async def test_an_address_is_known_for_thirty_days(shop: Shop) -> None:
    email = await account(shop)
    assert (await login(shop, email, address=HOME)).status == 200
    assert await guesses(shop, email, 6, address=HOME) == [401] * 6
    await shop.database.execute("UPDATE known_addresses SET last_at = now() - interval '31 days'")
    assert (await refusal(shop, email, address=HOME)).status == 429
    await shop.database.execute(known_addresses.FORGOTTEN)
    assert await shop.database.fetchval("SELECT count(*) FROM known_addresses") == 0


async def test_twenty_addresses_of_a_user_are_kept_and_none_in_the_clear(shop: Shop) -> None:
    email = await account(shop)
    for number in range(25):
        assert (await login(shop, email, address=f"198.51.100.{number}")).status == 200
    kept = {row["address"] for row in await shop.database.fetch("SELECT address FROM known_addresses")}
    assert kept == {shop.tokens.pseudonym(f"198.51.100.{number}") for number in range(5, 25)}


async def test_sign_ins_of_one_user_from_many_addresses_at_once_do_not_hinder_each_other(shop: Shop) -> None:
    email = await account(shop)
    for number in range(20):
        assert (await login(shop, email, address=f"198.51.100.{number}")).status == 200
    at_once = await asyncio.gather(
        *(login(shop, email, address=f"198.51.100.{number}") for number in (*range(10), *range(100, 130)))
    )
    # Strangers among them that came too close together may have to wait; nobody meets a deadlock or a defect.
    assert {answer.status for answer in at_once} <= {200, 429}
    while (await login(shop, email)).status == 429:
        await asyncio.sleep(0.1)
    assert await shop.database.fetchval("SELECT count(*) FROM known_addresses") == 20


async def test_a_new_password_makes_strangers_of_the_other_addresses(shop: Shop) -> None:
    email = await account(shop)
    assert (await login(shop, email, address=AWAY)).status == 200
    token = (await login(shop, email, address=HOME)).body["access_token"]
    body = {"current_password": PASSWORD, "new_password": WRONG}
    from_home = {"X-Forwarded-For": HOME}
    assert (await shop.ask("POST", "/auth/password", token=token, body=body, headers=from_home)).status == 204
    kept = await shop.database.fetch("SELECT address FROM known_addresses")
    assert [row["address"] for row in kept] == [shop.tokens.pseudonym(HOME)]


async def test_wrong_current_passwords_count_like_wrong_sign_ins(shop: Shop) -> None:
    email = await account(shop)
    token = (await login(shop, email, address=HOME)).body["access_token"]
    body = {"current_password": WRONG, "new_password": "An0ther-P@ssw0rd!"}
    for _ in range(4):
        answer = await shop.ask("POST", "/auth/password", token=token, body=body, headers={"X-Forwarded-For": AWAY})
        assert answer.status == 401
    assert await guesses(shop, email, 1) == [401]
    answer = await shop.ask("POST", "/auth/password", token=token, body=body, headers={"X-Forwarded-For": AWAY})
    assert (answer.status, answer.code) == (429, "too-many-failures")


async def test_instances_that_share_a_store_share_the_failures(open_shop: OpenShop, valkey_url: str) -> None:
    one = await opened(open_shop, RATE_LIMIT_STORAGE_URL=valkey_url)
    other = await opened(open_shop, RATE_LIMIT_STORAGE_URL=valkey_url, DATABASE_URL=one.database_url)
    email = await account(one)
    assert [await guesses(each, email, 1) for _ in range(2) for each in (one, other)] == [[401]] * 4
    assert await guesses(one, email, 1) == [401]
    assert await guesses(other, email, 1) == [429]


async def test_no_limit_is_no_delay_either(open_shop: OpenShop) -> None:
    shop = await open_shop(RATE_LIMIT_AUTH="off")
    assert await guesses(shop, await account(shop), 20) == [401] * 20


async def test_a_guess_that_found_no_free_thread_does_not_count() -> None:
    hashing = Hashing(4, Metrics(), workers=1, patience=-1)
    attempts = Attempts(hashing, Tokens("s" * 32), Delay(LADDER, store=Memory(), metrics=Metrics()))
    for _ in range(20):
        with pytest.raises(Problem) as caught:
            await attempts.match(WRONG, None, email="jane@example.com")
        assert caught.value.kind is Kind.UNAVAILABLE
    await hashing.close()
