"""POST /auth/logout: a session ends, or all of them; and nobody learns from it what exists (A15, R76)."""

import asyncio

import pytest
from tests.service.auth.shop import Answer, Person, Shop
from tests.service.auth.test_refresh import BEYOND, age, age_use, refused

from shopflow.auth.family import IDLE, LOST_ANSWER

LACKING = [{}, {"refresh_token": None}, {"refresh_token": 7}, {"refresh_token": "x", "all": None}, {"all": True}, []]
ENDINGS = "SELECT ended_by, count(*) AS number FROM refresh_families GROUP BY ended_by"


async def logout(shop: Shop, token: str, **more: object) -> Answer:
    return await shop.ask("POST", "/auth/logout", body={"refresh_token": token, **more})


async def ended(shop: Shop) -> dict[str | None, int]:
    """How many sessions ended by what; None stands for those that go on."""
    return {row["ended_by"]: row["number"] for row in await shop.database.fetch(ENDINGS)}


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


@pytest.mark.row("A-11")
async def test_a_session_that_was_signed_out_refreshes_nothing_and_others_go_on(shop: Shop, jane: Person) -> None:
    other = (await shop.login(jane.email)).body
    answer = await logout(shop, jane.refresh_token)
    assert (answer.status, answer.body) == (204, None)
    assert await refused(shop, jane.refresh_token)
    assert (await shop.refresh(other["refresh_token"])).status == 200
    assert await ended(shop) == {"logout": 1, None: 1}


async def test_access_tokens_outlive_one_session_but_not_all(shop: Shop, jane: Person) -> None:
    other = (await shop.login(jane.email)).body
    await logout(shop, jane.refresh_token)
    assert (await shop.validate(jane.token)).status == 200
    await logout(shop, other["refresh_token"], all=True)
    for token in (jane.token, other["access_token"]):
        assert (await shop.validate(token)).status == 401


async def test_all_sessions_of_the_user_end_and_nobody_elses(shop: Shop, jane: Person) -> None:
    stranger = await shop.person()
    others = [(await shop.login(jane.email)).body["refresh_token"] for _ in range(3)]
    assert (await logout(shop, jane.refresh_token, all=True)).status == 204
    for token in (jane.refresh_token, *others):
        assert await refused(shop, token)
    assert (await shop.validate(stranger.token)).status == 200
    assert (await shop.refresh(stranger.refresh_token)).status == 200


async def test_whoever_signed_out_everywhere_signs_in_again_at_once(shop: Shop, jane: Person) -> None:
    await logout(shop, jane.refresh_token, all=True)
    again = (await shop.login(jane.email)).body
    assert (await shop.validate(again["access_token"])).status == 200


async def test_a_retired_token_of_the_session_signs_it_out_too(shop: Shop, jane: Person) -> None:
    newer = (await shop.refresh(jane.refresh_token)).body["refresh_token"]
    await age_use(shop, LOST_ANSWER + BEYOND)
    assert (await logout(shop, jane.refresh_token)).status == 204
    assert await refused(shop, newer)
    assert await ended(shop) == {"logout": 1}


async def test_what_is_not_known_or_over_is_answered_the_same_and_ends_nothing(shop: Shop, jane: Person) -> None:
    over = (await shop.login(jane.email)).body["refresh_token"]
    await logout(shop, over)
    for token in ("", "x", "a.b.c", "ü", "x" * 5000, jane.token, shop.service(), over):
        for everywhere in (False, True):
            answer = await logout(shop, token, all=everywhere)
            assert (answer.status, answer.body) == (204, None)
    assert await ended(shop) == {"logout": 1, None: 1}
    assert (await shop.validate(jane.token)).status == 200


async def test_an_expired_token_ends_nothing(shop: Shop, jane: Person) -> None:
    other = (await shop.login(jane.email)).body
    await age(shop, IDLE + BEYOND)
    await shop.refresh(other["refresh_token"])
    await logout(shop, jane.refresh_token, all=True)
    assert await ended(shop) == {None: 2}


async def test_a_body_without_a_token_is_a_400(shop: Shop) -> None:
    for body in LACKING:
        answer = await shop.ask("POST", "/auth/logout", body=body)
        assert (answer.status, answer.code) == (400, "invalid-request"), body


async def test_many_sign_outs_everywhere_at_once_and_refreshes_between_them_all_succeed(
    shop: Shop, jane: Person
) -> None:
    """Each of them locks the user first: in any other order they would wait for each other in a circle."""
    tokens = [jane.refresh_token] + [(await shop.login(jane.email)).body["refresh_token"] for _ in range(9)]
    answers = await asyncio.gather(
        *(logout(shop, token, all=True) for token in tokens), *(shop.refresh(token) for token in tokens)
    )
    assert {answer.status for answer in answers[:10]} == {204}
    assert {answer.status for answer in answers[10:]} <= {200, 401}
    assert await ended(shop) == {"logout": 10}


async def test_what_began_between_two_ends_of_one_second_ends_too(shop: Shop, jane: Person) -> None:
    """A sign-in within the second of an end gets a token of the next second, which the next end must not miss."""
    given = [jane.token]
    for _ in range(5):
        pair = (await shop.login(jane.email)).body
        given.append(pair["access_token"])
        await logout(shop, pair["refresh_token"], all=True)
    assert [(await shop.validate(token)).status for token in given] == [401] * 6
