"""POST /auth/password: the present password opens it, every other session ends, a try costs what a sign-in costs."""

import asyncio
from uuid import UUID

import pytest
from tests.service.auth.shop import PASSWORD, Answer, Person, Shop
from tests.service.auth.test_refresh import refused

from shopflow.auth import passwords

NEW = "An0ther-P@ssw0rd!"

BROKEN: list[tuple[dict[str, object], set[str]]] = [
    ({"current_password": None}, {"current_password"}),
    ({"current_password": ""}, {"current_password"}),
    ({"current_password": 7}, {"current_password"}),
    ({"new_password": None}, {"new_password"}),
    ({"new_password": ""}, {"new_password"}),
    ({"new_password": "Aa1!Aa1"}, {"new_password"}),
    ({"new_password": "Aa1!" + "x" * 69}, {"new_password"}),
    ({"new_password": "aaaaaa1!"}, {"new_password"}),
    ({"refresh_token": 7}, {"refresh_token"}),
]


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bcrypt did, in order: everything still runs."""
    done: list[str] = []
    compare, make = passwords.matches, passwords.hashed

    def comparing(password: str, stored: str) -> bool:
        done.append("comparison")
        return compare(password, stored)

    def making(password: str, cost: int) -> str:
        done.append("hash")
        return make(password, cost)

    monkeypatch.setattr(passwords, "matches", comparing)
    monkeypatch.setattr(passwords, "hashed", making)
    return done


async def change(shop: Shop, person: Person, **fields: object) -> Answer:
    body = {"current_password": PASSWORD, "new_password": NEW} | fields
    sent = {name: value for name, value in body.items() if value is not None}
    return await shop.ask("POST", "/auth/password", body=sent, token=person.token)


async def test_the_new_password_signs_in_and_the_old_one_does_not(shop: Shop, jane: Person) -> None:
    answer = await change(shop, jane)
    assert (answer.status, answer.body) == (204, None)
    assert (await shop.login(jane.email, NEW)).status == 200
    assert (await shop.login(jane.email)).code == "invalid-credentials"


async def test_every_session_and_access_token_ends_and_nobody_elses(shop: Shop, jane: Person) -> None:
    stranger = await shop.person()
    other = (await shop.login(jane.email)).body
    assert (await change(shop, jane)).status == 204
    for token in (jane.refresh_token, other["refresh_token"]):
        assert await refused(shop, token)
    for token in (jane.token, other["access_token"]):
        assert (await shop.validate(token)).status == 401
    assert (await shop.validate(stranger.token)).status == 200
    row = await shop.database.fetchrow("SELECT DISTINCT ended_by FROM refresh_families WHERE ended_at IS NOT NULL")
    assert row is not None
    assert row["ended_by"] == "password"


async def test_the_session_it_is_changed_from_stays_and_refreshes_at_once(shop: Shop, jane: Person) -> None:
    other = (await shop.login(jane.email)).body
    assert (await change(shop, jane, refresh_token=jane.refresh_token)).status == 204
    assert await refused(shop, other["refresh_token"])
    assert (await shop.validate(jane.token)).status == 401
    renewed = await shop.refresh(jane.refresh_token)
    assert (await shop.validate(renewed.body["access_token"])).status == 200


async def test_no_session_stays_for_a_token_that_is_not_of_ones_own(shop: Shop, jane: Person) -> None:
    stranger = await shop.person()
    for token in (stranger.refresh_token, "junk", "", jane.token):
        person = await shop.person()
        assert (await change(shop, person, refresh_token=token)).status == 204
        assert await refused(shop, person.refresh_token)
    assert (await shop.refresh(stranger.refresh_token)).status == 200


async def test_a_wrong_current_password_changes_nothing(shop: Shop, jane: Person) -> None:
    for wrong in ("Wr0ng-password", PASSWORD + "x", "x" * 73, "é" * 1000):
        answer = await change(shop, jane, current_password=wrong)
        assert (answer.status, answer.code) == (401, "invalid-credentials")
    assert (await shop.validate(jane.token)).status == 200
    assert (await shop.refresh(jane.refresh_token)).status == 200
    assert (await shop.login(jane.email)).status == 200


async def test_a_try_costs_one_comparison_and_a_change_one_hash_more(
    shop: Shop, jane: Person, hashes: list[str]
) -> None:
    for wrong in ("Wr0ng-password", "x" * 73):
        hashes.clear()
        await change(shop, jane, current_password=wrong)
        assert hashes == ["comparison"]
    hashes.clear()
    await change(shop, jane, new_password="weak")
    assert hashes == []
    await change(shop, jane)
    assert hashes == ["comparison", "hash"]


async def test_the_rules_of_a_new_password_are_those_of_registration(shop: Shop, jane: Person) -> None:
    for fields, named in BROKEN:
        answer = await change(shop, jane, **fields)
        assert (answer.status, answer.code) == (400, "invalid-request"), fields
        assert {each["field"] for each in answer.body["errors"]} == named, fields
    assert (await shop.login(jane.email)).status == 200


async def test_only_people_have_a_password(shop: Shop, jane: Person) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await shop.ask("POST", "/auth/password", body=body, token=shop.service())).status == 403
    assert (await shop.ask("POST", "/auth/password", body=body)).code == "token-missing"
    assert (await shop.ask("POST", "/auth/password", body=body, token=jane.refresh_token)).code == "token-invalid"


async def test_of_two_changes_at_once_one_wins_and_the_account_opens_with_its_password(
    shop: Shop, jane: Person
) -> None:
    wanted = [f"{NEW}{n}" for n in range(5)]
    answers = await asyncio.gather(*(change(shop, jane, new_password=each) for each in wanted))
    assert sorted(answer.status for answer in answers) == [204, 401, 401, 401, 401]
    [winner] = [each for each, answer in zip(wanted, answers, strict=True) if answer.status == 204]
    assert (await shop.login(jane.email, winner)).status == 200


async def test_a_sign_in_with_the_old_password_at_the_same_time_leaves_no_session(shop: Shop, jane: Person) -> None:
    changed, *signed_in = await asyncio.gather(change(shop, jane), *(shop.login(jane.email) for _ in range(10)))
    assert changed.status == 204
    assert {answer.status for answer in signed_in} <= {200, 401}
    for answer in signed_in:
        if answer.status == 200:
            assert await refused(shop, answer.body["refresh_token"])
            assert (await shop.validate(answer.body["access_token"])).status == 401


async def test_a_deactivated_user_changes_nothing(shop: Shop, jane: Person) -> None:
    await shop.database.execute("UPDATE users SET is_active = false WHERE id = $1", UUID(jane.id))
    assert (await change(shop, jane)).code == "token-invalid"
