"""POST /auth/refresh: rotation, both tolerances, theft, and everything that ends a session (A1-A4, A15)."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.service.auth.shop import Person, Shop

from shopflow.auth.family import IDLE, LIFETIME, LOST_ANSWER, SAME_MOMENT

BEYOND = timedelta(minutes=1)  # more than a test takes, and than the part of a second that a token does not say

LACKING = [{}, {"refresh_token": None}, {"refresh_token": 7}, []]

JUNK = ["", "x", "a.b.c", "ü", "x" * 5000]


async def age(shop: Shop, by: timedelta) -> None:
    """Makes every session and its tokens that much older, as if the time had passed."""
    await shop.database.execute(
        "UPDATE refresh_tokens SET issued_at = issued_at - $1::interval, expires_at = expires_at - $1::interval", by
    )
    await shop.database.execute(
        "UPDATE refresh_families SET started_at = started_at - $1::interval, ends_at = ends_at - $1::interval", by
    )


async def age_use(shop: Shop, by: timedelta) -> None:
    """Makes the first uses that much older; what the tokens say, and so their text, stays."""
    await shop.database.execute("UPDATE refresh_tokens SET first_used_at = first_used_at - $1::interval", by)


async def refreshed(shop: Shop, token: str) -> str:
    answer = await shop.refresh(token)
    assert answer.status == 200, answer.body
    return str(answer.body["refresh_token"])


async def refused(shop: Shop, token: str) -> bool:
    answer = await shop.refresh(token)
    return (answer.status, answer.code) == (401, "token-invalid")


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


async def test_each_refresh_gives_a_new_pair(shop: Shop, jane: Person) -> None:
    answer = await shop.refresh(jane.refresh_token)
    assert list(answer.body) == ["access_token", "refresh_token", "token_type", "expires_in"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body["refresh_token"] != jane.refresh_token
    assert (await shop.validate(answer.body["access_token"])).body["user"]["id"] == jane.id
    assert await refreshed(shop, answer.body["refresh_token"]) != answer.body["refresh_token"]


async def test_a_missing_token_is_a_400(shop: Shop) -> None:
    for body in LACKING:
        assert (await shop.ask("POST", "/auth/refresh", body=body)).status == 400


async def test_any_other_text_is_a_401(shop: Shop) -> None:
    for text in JUNK:
        assert await refused(shop, text)


@pytest.mark.row("A-2", "A-3")
async def test_no_other_kind_of_token_is_taken(shop: Shop, jane: Person) -> None:
    assert await refused(shop, jane.token)
    assert await refused(shop, shop.service())


@pytest.mark.row("A-8")
async def test_twenty_refreshes_at_once_give_one_successor(shop: Shop, jane: Person) -> None:
    answers = await asyncio.gather(*(shop.refresh(jane.refresh_token) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["refresh_token"] for answer in answers}) == 1
    assert await shop.database.fetchval("SELECT count(*) FROM refresh_tokens") == 2


@pytest.mark.row("A-9")
async def test_a_lost_answer_can_be_asked_for_again_within_five_minutes(shop: Shop, jane: Person) -> None:
    child = await refreshed(shop, jane.refresh_token)
    await age_use(shop, LOST_ANSWER - BEYOND)
    assert await refreshed(shop, jane.refresh_token) == child
    assert await refreshed(shop, child) != child


@pytest.mark.row("A-9")
async def test_asking_again_does_not_prolong_the_five_minutes(shop: Shop, jane: Person) -> None:
    child = await refreshed(shop, jane.refresh_token)
    await age_use(shop, LOST_ANSWER - BEYOND)
    assert await refreshed(shop, jane.refresh_token) == child
    await age_use(shop, 2 * BEYOND)
    assert await refused(shop, jane.refresh_token)
    assert await refused(shop, child)
    assert await shop.database.fetchval("SELECT ended_by FROM refresh_families") == "reuse"


async def test_tabs_that_refresh_together_all_end_with_the_newest(shop: Shop, jane: Person) -> None:
    second = await refreshed(shop, jane.refresh_token)
    third = await refreshed(shop, second)
    await age_use(shop, SAME_MOMENT / 2)
    assert await refreshed(shop, jane.refresh_token) == third
    assert await refreshed(shop, second) == third


@pytest.mark.row("A-9")
async def test_a_token_shown_again_later_ends_the_session_for_thief_and_owner(shop: Shop, jane: Person) -> None:
    second = await refreshed(shop, jane.refresh_token)
    pair = (await shop.refresh(second)).body
    await age_use(shop, SAME_MOMENT + BEYOND)
    assert await refused(shop, jane.refresh_token)
    assert await refused(shop, pair["refresh_token"])
    for token in (jane.token, pair["access_token"]):
        answer = await shop.validate(token)
        assert (answer.status, answer.code) == (401, "token-invalid")
    row = await shop.database.fetchrow("SELECT ended_at, ended_by FROM refresh_families")
    assert row is not None
    assert row["ended_at"] is not None
    assert row["ended_by"] == "reuse"


async def test_a_theft_is_told_with_pseudonyms_of_both_addresses(shop: Shop, jane: Person) -> None:
    await refreshed(shop, await refreshed(shop, jane.refresh_token))
    await age_use(shop, SAME_MOMENT + BEYOND)
    await shop.database.execute("UPDATE refresh_families SET address = '192.0.2.1'")
    with capture_logs() as lines:
        assert await refused(shop, jane.refresh_token)
    [told] = [line for line in lines if line["event"] == "refresh_token_reused"]
    assert (str(told["user_id"]), told["log_level"]) == (jane.id, "warning")
    assert told["family_id"] == await shop.database.fetchval("SELECT id FROM refresh_families")
    assert told["shown_from"] == shop.tokens.pseudonym("127.0.0.1")
    assert told["used_from"] == shop.tokens.pseudonym("192.0.2.1")


async def test_after_a_theft_the_owner_signs_in_again_at_once_and_other_sessions_go_on(
    shop: Shop, jane: Person
) -> None:
    other = (await shop.login(jane.email)).body
    second = await refreshed(shop, jane.refresh_token)
    await refreshed(shop, second)
    await age_use(shop, SAME_MOMENT + BEYOND)
    assert await refused(shop, jane.refresh_token)
    assert (await shop.validate(other["access_token"])).status == 401
    for answer in (await shop.login(jane.email), await shop.refresh(other["refresh_token"])):
        assert answer.status == 200
        assert (await shop.validate(answer.body["access_token"])).status == 200


@pytest.mark.row("A-11")
async def test_a_session_that_rested_thirty_days_is_over(shop: Shop, jane: Person) -> None:
    await age(shop, IDLE - BEYOND)
    newer = await refreshed(shop, jane.refresh_token)
    await age(shop, IDLE + BEYOND)
    assert await refused(shop, newer)


@pytest.mark.row("A-11")
async def test_a_session_is_over_after_ninety_days_however_busy(shop: Shop, jane: Person) -> None:
    token = jane.refresh_token
    for _ in range(3):
        await age(shop, LIFETIME / 3 - BEYOND)
        token = await refreshed(shop, token)
    last = await shop.database.fetchrow(
        "SELECT t.expires_at = f.ends_at AS ends FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id "
        "ORDER BY t.sequence DESC LIMIT 1"
    )
    assert last is not None
    assert last["ends"]
    await age(shop, 4 * BEYOND)
    assert await refused(shop, token)


async def test_a_refreshed_token_says_what_the_account_is_now(shop: Shop, jane: Person) -> None:
    await shop.database.execute("UPDATE users SET role = 'admin' WHERE id = $1", UUID(jane.id))
    answer = await shop.refresh(jane.refresh_token)
    assert (await shop.validate(answer.body["access_token"])).body["user"]["role"] == "admin"


@pytest.mark.row("A-11")
async def test_a_deactivated_user_refreshes_nothing_even_if_only_the_flag_was_set(shop: Shop, jane: Person) -> None:
    await shop.database.execute("UPDATE users SET is_active = false")
    assert await refused(shop, jane.refresh_token)


async def test_the_token_of_a_removed_user_is_refused(shop: Shop, jane: Person) -> None:
    await shop.database.execute("DELETE FROM users")
    assert await refused(shop, jane.refresh_token)
    assert await shop.database.fetchval("SELECT count(*) FROM refresh_tokens") == 0
