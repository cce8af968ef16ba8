"""POST /auth/login: who gets tokens, and that a refusal tells nothing about accounts (PRD 4.1, R12, A8)."""

import asyncio
from uuid import UUID

import jwt
import pytest
from tests.service.auth.shop import PASSWORD, SECRET, OpenShop, Shop

from shopflow.auth import passwords
from shopflow.auth.family import IDLE, LIFETIME

LACKING = [
    {},
    {"email": "jane@example.com"},
    {"password": PASSWORD},
    {"email": "", "password": PASSWORD},
    {"email": "jane@example.com", "password": ""},
    {"email": 7, "password": PASSWORD},
    {"email": "jane@example.com", "password": None},
    [],
]


async def deactivate(shop: Shop, email: str) -> None:
    await shop.database.execute("UPDATE users SET is_active = false WHERE email = $1", email)


async def test_the_right_password_gives_a_pair_of_tokens(shop: Shop) -> None:
    made = (await shop.register()).body
    answer = await shop.login(made["email"].upper())
    assert answer.status == 200
    assert list(answer.body) == ["access_token", "refresh_token", "token_type", "expires_in"]
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["Cache-Control"] == "no-store"
    claims = jwt.decode(answer.body["access_token"], SECRET, algorithms=["HS256"])
    assert list(claims) == ["sub", "email", "role", "iat", "exp"]
    assert (claims["sub"], claims["email"], claims["role"]) == (made["id"], made["email"], "customer")
    assert claims["exp"] - claims["iat"] == 3600


async def test_a_session_lasts_thirty_days_and_ninety_at_most(shop: Shop) -> None:
    await shop.person()
    row = await shop.database.fetchrow("SELECT * FROM refresh_families f JOIN refresh_tokens t ON t.family_id = f.id")
    assert row is not None
    assert row["expires_at"] - row["issued_at"] == IDLE
    assert abs((row["ends_at"] - row["started_at"] - LIFETIME).total_seconds()) < 1


async def test_what_is_missing_is_a_400_before_anybody_is_looked_up(shop: Shop) -> None:
    for body in LACKING:
        answer = await shop.ask("POST", "/auth/login", body=body)
        assert (answer.status, answer.code) == (400, "invalid-request"), body


async def test_every_wrong_sign_in_is_answered_alike(shop: Shop) -> None:
    known = (await shop.register()).body["email"]
    inactive = (await shop.register()).body["email"]
    await deactivate(shop, inactive)
    attempts = [
        (known, "Wr0ng-password"),
        (known, PASSWORD + "x"),
        (known, "x" * 73),
        (known, "é" * 1000),
        (inactive, "Wr0ng-password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("@", "x"),
    ]
    answers = [await shop.login(email, password) for email, password in attempts]
    bodies = [{name: value for name, value in answer.body.items() if name != "trace_id"} for answer in answers]
    assert {answer.status for answer in answers} == {401}
    assert answers[0].code == "invalid-credentials"
    assert all(body == bodies[0] for body in bodies)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beginning of each hash that a password was compared with: everything still runs."""
    seen: list[str] = []
    real = passwords.matches

    def counting(password: str, stored: str) -> bool:
        seen.append(stored[:7])
        return real(password, stored)

    monkeypatch.setattr(passwords, "matches", counting)
    return seen


async def test_every_sign_in_costs_one_hash(shop: Shop, compared: list[str]) -> None:
    known = (await shop.register()).body["email"]
    inactive = (await shop.register()).body["email"]
    await deactivate(shop, inactive)
    for email, password in [
        (known, PASSWORD),
        (known, "wrong"),
        (known, "x" * 73),
        (inactive, PASSWORD),
        (inactive, "wrong"),
        ("nobody@example.com", "wrong"),
        ("not an address", "wrong"),
    ]:
        compared.clear()
        await shop.login(email, password)
        assert compared == ["$2b$04$"], email


@pytest.mark.row("A-13")
async def test_what_is_too_long_or_no_text_or_nothing_costs_one_hash_at_most(shop: Shop, compared: list[str]) -> None:
    email = (await shop.register()).body["email"]
    over_long = f'{{"email": "{email}", "password": "{"x" * 1_000_000}"}}'.encode()
    for raw, status, hashes in [
        (f'{{"email": "{email}", "password": "{"x" * 73}"}}'.encode(), 401, 1),
        (f'{{"email": "{email}", "password": "{"x" * 10_000}"}}'.encode(), 401, 1),
        (over_long, 413, 0),
        (f'{{"email": "{email}", "password": "x\\u0000"}}'.encode(), 400, 0),
        (f'{{"email": "{email}", "password": "\\udfff"}}'.encode(), 400, 0),
        (f'{{"email": "{email}", "password": ""}}'.encode(), 400, 0),
        (b'{"email": "nobody@example.com", "password": ""}', 400, 0),
        (b'{"email": "", "password": "x"}', 400, 0),
    ]:
        compared.clear()
        answer = await shop.ask("POST", "/auth/login", raw=raw)
        assert (answer.status, len(compared)) == (status, hashes), raw[:80]


async def test_an_empty_field_tells_nothing_about_accounts(shop: Shop) -> None:
    email = (await shop.register()).body["email"]
    answers = [await shop.login(each, "") for each in (email, "nobody@example.com", "not an address")]
    bodies = [{name: value for name, value in answer.body.items() if name != "trace_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


async def test_a_deactivated_account_is_told_only_to_who_knows_the_password(shop: Shop) -> None:
    email = (await shop.register()).body["email"]
    await deactivate(shop, email)
    answer = await shop.login(email)
    assert (answer.status, answer.code) == (403, "account-deactivated")
    assert (await shop.login(email, "Wr0ng-password")).code == "invalid-credentials"


async def test_a_password_of_72_bytes_signs_in_and_a_longer_one_does_not(shop: Shop) -> None:
    password = "Aa1!" + "é" * 34
    email = (await shop.register(password=password)).body["email"]
    assert (await shop.login(email, password)).status == 200
    assert (await shop.login(email, password + "x")).status == 401


async def test_a_hash_of_lower_cost_is_made_again_at_sign_in(open_shop: OpenShop) -> None:
    shop = await open_shop(BCRYPT_COST="5")
    made = (await shop.register()).body
    weak = passwords.hashed(PASSWORD, 4)
    await shop.database.execute("UPDATE users SET password_hash = $2 WHERE id = $1", UUID(made["id"]), weak)
    for _ in range(2):
        assert (await shop.login(made["email"])).status == 200
        stored = str(await shop.database.fetchval("SELECT password_hash FROM users"))
        assert stored.startswith("$2b$05$")


async def test_sign_ins_at_once_all_succeed_while_the_hash_is_made_again(open_shop: OpenShop) -> None:
    shop = await open_shop(BCRYPT_COST="5")
    made = (await shop.register()).body
    weak = passwords.hashed(PASSWORD, 4)
    await shop.database.execute("UPDATE users SET password_hash = $2 WHERE id = $1", UUID(made["id"]), weak)
    answers = await asyncio.gather(*(shop.login(made["email"]) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5


async def test_many_sign_ins_at_once_all_succeed(shop: Shop) -> None:
    email = (await shop.register()).body["email"]
    answers = await asyncio.gather(*(shop.login(email) for _ in range(40)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["refresh_token"] for answer in answers}) == 40
