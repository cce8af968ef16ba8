"""GET and DELETE /auth/sessions: where one is signed in, and ending one of those from elsewhere; what is forgotten."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.service.auth.shop import PASSWORD, OpenShop, Person, Shop
from tests.service.auth.test_refresh import BEYOND, age, refused

from shopflow.auth.family import IDLE, LIFETIME
from shopflow.auth.sessions import FORGOTTEN_FAMILIES
from shopflow.contracts.fields import instant

FIELDS = ["id", "created_at", "last_used_at", "address", "user_agent", "expires_at"]

AGENTS = [
    ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
    ("x" * 1000, "x" * 255),
    ("\u202egpj.exe", "gpj.exe"),
    ("Zoë's phone", "Zoë's phone"),
    ("\u200b \u2060", None),
]


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


async def listed(shop: Shop, token: str, query: str = "") -> Any:
    answer = await shop.ask("GET", f"/auth/sessions{query}", token=token)
    assert answer.status == 200, answer.body
    return answer.body


async def test_a_session_shows_where_and_since_when_and_until_when(shop: Shop, jane: Person) -> None:
    [session] = (await listed(shop, jane.token))["data"]
    assert list(session) == FIELDS
    assert session["address"] == "127.0.0.1"
    assert session["user_agent"].startswith("Python/")
    assert session["last_used_at"] == session["created_at"]
    lasts = instant(session["expires_at"]) - instant(session["created_at"])
    assert abs(lasts - IDLE) <= timedelta(seconds=1)


async def test_a_refresh_shows_as_the_last_use_and_from_where_it_came(shop: Shop, jane: Person) -> None:
    for agent in ("first", "second"):
        await shop.ask(
            "POST", "/auth/refresh", body={"refresh_token": jane.refresh_token}, headers={"User-Agent": agent}
        )
    [session] = (await listed(shop, jane.token))["data"]
    assert session["user_agent"] == "first"  # the second was the same exchange again
    assert session["last_used_at"] > session["created_at"]


@pytest.mark.parametrize(("sent", "shown"), AGENTS)
async def test_what_a_program_calls_itself_is_shown_without_what_nobody_sees(
    shop: Shop, sent: str, shown: str | None
) -> None:
    made = (await shop.register()).body
    body = {"email": made["email"], "password": PASSWORD}
    pair = (await shop.ask("POST", "/auth/login", body=body, headers={"User-Agent": sent})).body
    [session] = (await listed(shop, pair["access_token"]))["data"]
    assert session["user_agent"] == shown


async def test_sessions_come_newest_first_in_pages_and_only_ones_own(shop: Shop, jane: Person) -> None:
    await shop.person()
    for _ in range(4):
        await shop.login(jane.email)
    whole = (await listed(shop, jane.token))["data"]
    assert [each["created_at"] for each in whole] == sorted((each["created_at"] for each in whole), reverse=True)
    second = await listed(shop, jane.token, "?page=2&limit=2")
    assert second == {
        "data": whole[2:4],
        "pagination": {"page": 2, "limit": 2, "total_items": 5, "total_pages": 3},
    }
    beyond = await listed(shop, jane.token, "?page=9")
    assert (beyond["data"], beyond["pagination"]["total_items"]) == ([], 5)


async def test_sessions_are_walked_by_a_cursor_once_each_though_more_come(shop: Shop, jane: Person) -> None:
    for _ in range(4):
        await shop.login(jane.email)
    whole = (await listed(shop, jane.token))["data"]
    walked: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await listed(shop, jane.token, f"?limit=2&cursor={cursor}")
        assert list(answer) == ["data", "next_cursor"]
        walked += answer["data"]
        cursor = answer["next_cursor"]
        await shop.login(jane.email)
    assert walked == whole


async def test_a_cursor_of_another_list_is_a_400(shop: Shop, jane: Person) -> None:
    admin = await shop.person(admin=True)
    await shop.login(jane.email)
    cursor = (await listed(shop, jane.token, "?limit=1&cursor="))["next_cursor"]
    for token, query in (
        (jane.token, "?cursor=x"),
        (jane.token, f"?cursor={cursor}x"),
        (jane.token, f"?page=1&cursor={cursor}"),
        (admin.token, f"?cursor={cursor}"),
    ):
        assert (await shop.ask("GET", f"/auth/sessions{query}", token=token)).status == 400, query
    assert (await shop.ask("GET", f"/auth/users?cursor={cursor}", token=admin.token)).status == 400


async def test_what_is_over_is_not_listed(shop: Shop, jane: Person) -> None:
    await age(shop, IDLE + BEYOND)  # a token that rested too long
    ended = (await shop.login(jane.email)).body
    await shop.ask("POST", "/auth/logout", body={"refresh_token": ended["refresh_token"]})
    going_on = (await shop.login(jane.email)).body
    [session] = (await listed(shop, going_on["access_token"]))["data"]
    assert await shop.database.fetchval("SELECT count(*) FROM refresh_families") == 3
    await shop.ask("DELETE", f"/auth/sessions/{session['id']}", token=going_on["access_token"])
    assert (await listed(shop, going_on["access_token"]))["data"] == []


async def test_a_session_ended_from_elsewhere_refreshes_nothing(shop: Shop, jane: Person) -> None:
    elsewhere = (await shop.login(jane.email)).body
    newest, *_ = (await listed(shop, jane.token))["data"]
    for _ in range(2):
        answer = await shop.ask("DELETE", f"/auth/sessions/{newest['id']}", token=jane.token)
        assert (answer.status, answer.body) == (204, None)
    assert await refused(shop, elsewhere["refresh_token"])
    assert (await shop.validate(elsewhere["access_token"])).status == 200  # until it expires
    assert (await shop.refresh(jane.refresh_token)).status == 200


async def test_anothers_session_is_not_there(shop: Shop, jane: Person) -> None:
    stranger = await shop.person()
    [session] = (await listed(shop, jane.token))["data"]
    for session_id in (session["id"], uuid4()):
        answer = await shop.ask("DELETE", f"/auth/sessions/{session_id}", token=stranger.token)
        assert (answer.status, answer.code) == (404, "session-not-found")
    assert (await shop.refresh(jane.refresh_token)).status == 200


async def test_admins_see_and_end_the_sessions_of_a_user_they_name(shop: Shop, jane: Person) -> None:
    admin = await shop.person(admin=True)
    [session] = (await listed(shop, admin.token, f"?user_id={jane.id}"))["data"]
    assert session["id"] not in str(await listed(shop, admin.token))
    path = f"/auth/sessions/{session['id']}"
    assert (await shop.ask("DELETE", path, token=admin.token)).status == 404
    assert (await shop.ask("DELETE", f"{path}?user_id={jane.id}", token=admin.token)).status == 204
    assert await refused(shop, jane.refresh_token)


async def test_naming_a_user_is_for_admins_and_services_have_no_sessions(shop: Shop, jane: Person) -> None:
    [session] = (await listed(shop, jane.token))["data"]
    for method, path in (("GET", "/auth/sessions"), ("DELETE", f"/auth/sessions/{session['id']}")):
        named = await shop.ask(method, f"{path}?user_id={jane.id}", token=jane.token)
        assert (named.status, named.code) == (403, "forbidden")
        for query in ("", f"?user_id={jane.id}"):
            assert (await shop.ask(method, path + query, token=shop.service())).status == 403
    assert (await shop.refresh(jane.refresh_token)).status == 200


async def test_malformed_ids_and_pages_are_a_400(shop: Shop) -> None:
    admin = await shop.person(admin=True)
    for method, path in (
        ("DELETE", "/auth/sessions/x"),
        ("DELETE", f"/auth/sessions/{uuid4()}?user_id=x"),
        ("GET", "/auth/sessions?user_id=x"),
        ("GET", "/auth/sessions?page=0"),
        ("GET", "/auth/sessions?limit=101"),
        ("GET", "/auth/sessions?limit=1.0"),
    ):
        answer = await shop.ask(method, path, token=admin.token)
        assert (answer.status, answer.code) == (400, "invalid-request"), path
    assert (await listed(shop, admin.token, f"?page={10**18}&user_id={uuid4()}"))["data"] == []


async def test_sessions_are_forgotten_only_when_no_token_of_theirs_can_matter(shop: Shop, jane: Person) -> None:
    await shop.refresh(jane.refresh_token)
    await shop.ask("POST", "/auth/logout", body={"refresh_token": jane.refresh_token})
    for passed, left in ((LIFETIME - BEYOND, 1), (timedelta(hours=24), 1), (2 * BEYOND, 0)):
        await age(shop, passed)
        await shop.database.execute(FORGOTTEN_FAMILIES)
        assert await shop.database.fetchval("SELECT count(*) FROM refresh_families") == left
    assert await shop.database.fetchval("SELECT count(*) FROM refresh_tokens") == 0


async def test_the_service_forgets_them_by_itself_from_its_start_on(shop: Shop, open_shop: OpenShop) -> None:
    for _ in range(3):
        await shop.person()
    await age(shop, LIFETIME + timedelta(days=2))
    again = await open_shop(DATABASE_URL=shop.database_url)
    while await shop.database.fetchval("SELECT count(*) FROM refresh_families"):
        await again.ask("GET", "/health")
    assert await shop.database.fetchval("SELECT count(*) FROM users") == 3
