"""GET /auth/users: admins find accounts; nobody else does."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from tests.service.auth.shop import Person, Shop

PROFILE = [
    "id", "email", "first_name", "last_name", "phone", "role", "is_active", "created_at", "updated_at",
]  # fmt: skip


@pytest.fixture
async def admin(shop: Shop) -> Person:
    return await shop.person(admin=True)


@pytest.fixture
async def ada(shop: Shop) -> Any:
    answer = await shop.register(
        email="Ada@Example.org", first_name="Ada", last_name="Löve 100%_lace", phone="+441234567890"
    )
    return answer.body


async def found(shop: Shop, admin: Person, **query: object) -> list[str]:
    """The addresses of the accounts on the first page, in order."""
    return [each["email"] for each in (await listed(shop, admin, **query))["data"]]


async def listed(shop: Shop, admin: Person, **query: object) -> Any:
    text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    answer = await shop.ask("GET", f"/auth/users?{text}", token=admin.token)
    assert answer.status == 200, answer.body
    return answer.body


async def test_accounts_come_as_profiles_newest_first_in_pages(shop: Shop, admin: Person) -> None:
    made = [(await shop.register()).body["email"] for _ in range(3)]
    whole = await listed(shop, admin)
    assert [each["email"] for each in whole["data"]] == [*reversed(made), admin.email]
    assert all(list(each) == PROFILE for each in whole["data"])
    assert whole["pagination"] == {"page": 1, "limit": 20, "total_items": 4, "total_pages": 1}
    second = await listed(shop, admin, page=2, limit=3)
    assert [each["email"] for each in second["data"]] == [admin.email]
    beyond = await listed(shop, admin, page=10**18)
    assert (beyond["data"], beyond["pagination"]["total_items"]) == ([], 4)


async def test_accounts_are_walked_by_a_cursor_once_each_though_more_come(shop: Shop, admin: Person) -> None:
    for name in ("Ada", "Ben", "Ada", "Ada"):
        await shop.register(first_name=name)
    for query in ({}, {"q": "ada"}, {"role": "customer", "q": "ada"}):
        whole = (await listed(shop, admin, **query))["data"]
        walked: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await listed(shop, admin, limit=2, cursor=cursor, **query)
            walked += answer["data"]
            cursor = answer["next_cursor"]
            await shop.register(first_name="Ada")
        assert walked == whole


async def test_each_filter_narrows_the_list(shop: Shop, admin: Person, ada: Any) -> None:
    await shop.database.execute("UPDATE users SET is_active = false WHERE id = $1", UUID(ada["id"]))
    for query in (
        {"email": "ADA@example.ORG"},
        {"phone": "+441234567890"},
        {"role": "customer"},
        {"is_active": "false"},
        {"q": "ADA"},
        {"q": "a lÖve"},
        {"q": "100%_"},
        {"q": "@example.or"},
        {"q": ada["id"][:8].upper()},
        {"q": ada["id"]},
        {"q": "ada", "role": "customer", "is_active": "false"},
    ):
        assert await found(shop, admin, **query) == ["ada@example.org"], query
    assert await found(shop, admin, role="admin") == await found(shop, admin, is_active="true") == [admin.email]


async def test_what_matches_nothing_is_an_empty_page(shop: Shop, admin: Person, ada: Any) -> None:
    for query in (
        {"email": "not an address"},
        {"email": "ada@example.or"},
        {"phone": "+44"},
        {"q": "100_"},
        {"q": "a%e"},
        {"q": "\\"},
        {"q": ada["id"][1:9]},
        {"q": "ada", "role": "admin"},
        {"email": "' OR 1=1 --"},
    ):
        assert await found(shop, admin, **query) == [], query


async def test_what_breaks_a_rule_is_a_400(shop: Shop, admin: Person) -> None:
    for query in (
        "role=service",
        "role=",
        "is_active=perhaps",
        "q=",
        "q=" + "x" * 101,
        "q=%00",
        "email=a%00@example.com",
        "phone=%00",
        "page=0",
        "limit=0",
        "limit=101",
        "q=a&q=b",
    ):
        answer = await shop.ask("GET", f"/auth/users?{query}", token=admin.token)
        assert (answer.status, answer.code) == (400, "invalid-request"), query


async def test_text_that_is_no_utf8_is_no_defect(shop: Shop, admin: Person) -> None:
    for raw in ("q=%ff%fe", "q=%ed%a0%80", "email=%ff@example.com"):
        assert (await shop.ask("GET", f"/auth/users?{raw}", token=admin.token)).status in {200, 400}, raw


async def test_only_admins_list_accounts(shop: Shop) -> None:
    person = await shop.person()
    for token, status in ((person.token, 403), (shop.service(), 403), (person.refresh_token, 401), (None, 401)):
        assert (await shop.ask("GET", "/auth/users", token=token)).status == status
