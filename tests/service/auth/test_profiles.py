"""GET, PATCH and DELETE /auth/users/:id: who may, in which order questions are asked, and the last admin (R19)."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from tests.service.auth.shop import PASSWORD, Person, Shop

BROKEN = [
    {"first_name": ""},
    {"first_name": " "},
    {"first_name": None},
    {"last_name": "x" * 101},
    {"first_name": "Jane\nDoe"},
    {"first_name": "Jane\r"},
    {"last_name": "\r\n"},
    {"phone": "1"},
    {"phone": ""},
    {"role": "service"},
    {"role": None},
    {"is_active": "no"},
    [],
]


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


@pytest.fixture
async def admin(shop: Shop) -> Person:
    return await shop.person(admin=True)


async def status(shop: Shop, method: str, user_id: str, token: str | None) -> int:
    body = {"first_name": "Janet"} if method == "PATCH" else None
    return (await shop.ask(method, f"/auth/users/{user_id}", token=token, body=body)).status


async def test_a_profile_has_exactly_the_fields_of_the_contract(shop: Shop, jane: Person) -> None:
    answer = await shop.ask("GET", f"/auth/users/{jane.id}", token=jane.token)
    assert answer.status == 200
    assert list(answer.body) == [
        *["id", "email", "first_name", "last_name", "phone", "role"],
        *["is_active", "created_at", "updated_at"],
    ]
    assert answer.body["created_at"] == answer.body["updated_at"]


@pytest.mark.parametrize(
    ("method", "allowed", "as_service"),
    [("GET", 200, 200), ("PATCH", 200, 403), ("DELETE", 204, 403)],
)
async def test_who_may_do_what(shop: Shop, admin: Person, method: str, allowed: int, as_service: int) -> None:
    one, other, stranger = [await shop.person() for _ in range(3)]
    assert await status(shop, method, one.id, None) == 401
    assert await status(shop, method, one.id, stranger.token) == 403
    assert await status(shop, method, one.id, shop.service()) == as_service
    assert await status(shop, method, one.id, one.token) == allowed
    assert await status(shop, method, other.id, admin.token) == allowed


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_syntax_is_asked_before_permission_and_permission_before_existence(
    shop: Shop, jane: Person, admin: Person, method: str
) -> None:
    unknown = str(uuid4())
    for malformed in ("me", unknown.replace("-", ""), f"{{{unknown}}}", f"urn:uuid:{unknown}", f"{unknown}x", "%20"):
        assert await status(shop, method, malformed, jane.token) == 400, malformed
    assert await status(shop, method, unknown, jane.token) == 403
    assert await status(shop, method, unknown, admin.token) == 404
    assert await status(shop, method, unknown, shop.service()) == (404 if method == "GET" else 403)
    assert await status(shop, method, unknown, "junk") == 401


async def test_an_id_is_read_in_any_case(shop: Shop, jane: Person) -> None:
    assert await status(shop, "GET", jane.id.upper(), jane.token) == 200


async def test_an_inactive_profile_is_still_read_by_services(shop: Shop, jane: Person) -> None:
    await shop.ask("DELETE", f"/auth/users/{jane.id}", token=jane.token)
    answer = await shop.ask("GET", f"/auth/users/{jane.id}", token=shop.service())
    assert (answer.status, answer.body["is_active"]) == (200, False)


async def test_names_and_phone_are_changed_and_nothing_else(shop: Shop, jane: Person) -> None:
    path = f"/auth/users/{jane.id}"
    before = (await shop.ask("GET", path, token=jane.token)).body
    sent = {"first_name": "Janet", "phone": None, "email": "other@example.com", "id": str(uuid4()), "password": "x"}
    answer = await shop.ask("PATCH", path, token=jane.token, body=sent)
    assert answer.status == 200
    assert answer.body["updated_at"] > before["updated_at"]
    assert answer.body | {"updated_at": ""} == before | {"first_name": "Janet", "phone": None, "updated_at": ""}
    assert (await shop.ask("GET", path, token=jane.token)).body == answer.body


async def test_a_change_that_changes_nothing_leaves_the_profile_untouched(shop: Shop, jane: Person) -> None:
    path = f"/auth/users/{jane.id}"
    before = (await shop.ask("GET", path, token=jane.token)).body
    for sent in ({}, {"first_name": before["first_name"]}, {"unknown": 1}):
        assert (await shop.ask("PATCH", path, token=jane.token, body=sent)).body == before


async def test_a_change_that_breaks_a_rule_is_refused(shop: Shop, admin: Person) -> None:
    for sent in BROKEN:
        answer = await shop.ask("PATCH", f"/auth/users/{admin.id}", token=admin.token, body=sent)
        assert (answer.status, answer.code) == (400, "invalid-request"), sent


async def test_only_admins_change_role_and_activity(shop: Shop, jane: Person, admin: Person) -> None:
    path = f"/auth/users/{jane.id}"
    for sent in ({"role": "admin"}, {"is_active": False}, {"first_name": "Janet", "role": "admin"}):
        assert (await shop.ask("PATCH", path, token=jane.token, body=sent)).status == 403
    assert (await shop.ask("GET", path, token=jane.token)).body["first_name"] == "Jane"
    assert (await shop.ask("PATCH", path, token=admin.token, body={"role": "admin"})).body["role"] == "admin"


@pytest.mark.row("A-7")
async def test_a_demoted_admin_is_one_no_more_with_the_same_token(shop: Shop, jane: Person, admin: Person) -> None:
    second = await shop.person(admin=True)
    assert await status(shop, "PATCH", jane.id, second.token) == 200
    await shop.ask("PATCH", f"/auth/users/{second.id}", token=admin.token, body={"role": "customer"})
    for method in ("PATCH", "GET", "DELETE"):
        assert await status(shop, method, jane.id, second.token) == 403
    for path in ("/auth/users", f"/auth/sessions?user_id={jane.id}"):
        assert (await shop.ask("GET", path, token=second.token)).status == 403


@pytest.mark.row("A-11")
async def test_deactivation_ends_every_session_and_token_at_once(shop: Shop, jane: Person) -> None:
    assert await status(shop, "DELETE", jane.id, jane.token) == 204
    assert (await shop.validate(jane.token)).status == 401
    assert (await shop.refresh(jane.refresh_token)).status == 401
    assert (await shop.login(jane.email)).code == "account-deactivated"
    row = await shop.database.fetchrow("SELECT by, reason FROM deactivations WHERE user_id = $1", UUID(jane.id))
    assert row is not None
    assert (row["by"], row["reason"]) == (jane.id, None)
    ended = await shop.database.fetchval("SELECT ended_by FROM refresh_families")
    assert ended == "deactivation"


async def test_a_reactivated_user_signs_in_again_but_old_tokens_stay_dead(
    shop: Shop, jane: Person, admin: Person
) -> None:
    path = f"/auth/users/{jane.id}"
    for repeated in range(2):
        assert await status(shop, "DELETE", jane.id, admin.token) == 204, repeated
    assert (await shop.ask("PATCH", path, token=admin.token, body={"is_active": True})).body["is_active"]
    assert await shop.database.fetchval("SELECT count(*) FROM deactivations") == 0
    assert (await shop.validate(jane.token)).status == 401
    assert (await shop.refresh(jane.refresh_token)).status == 401
    assert (await shop.validate((await shop.login(jane.email)).body["access_token"])).status == 200


async def test_the_last_admin_stays(shop: Shop, admin: Person) -> None:
    path = f"/auth/users/{admin.id}"
    answers = [
        await shop.ask("DELETE", path, token=admin.token),
        await shop.ask("PATCH", path, token=admin.token, body={"role": "customer"}),
        await shop.ask("PATCH", path, token=admin.token, body={"is_active": False, "first_name": "Gone"}),
    ]
    assert [(each.status, each.code) for each in answers] == [(409, "last-admin")] * 3
    assert (await shop.ask("GET", path, token=admin.token)).body["first_name"] == "Jane"


async def test_an_inactive_admin_does_not_count_as_one(shop: Shop, admin: Person) -> None:
    second = await shop.person(admin=True)
    assert await status(shop, "DELETE", second.id, admin.token) == 204
    assert await status(shop, "DELETE", admin.id, admin.token) == 409


async def test_admins_who_remove_one_another_at_once_leave_one(shop: Shop) -> None:
    admins = [await shop.person(admin=True) for _ in range(6)]
    pairs = zip(admins, [*admins[1:], admins[0]], strict=True)
    answers = await asyncio.gather(*(status(shop, "DELETE", other.id, one.token) for one, other in pairs))
    assert Counter(answers)[204] <= 5
    assert set(answers) <= {204, 401, 409}
    left = await shop.database.fetchval("SELECT count(*) FROM users WHERE is_active AND role = 'admin'")
    assert left == 6 - Counter(answers)[204] >= 1


async def test_a_sign_in_that_overlaps_a_deactivation_leaves_no_session(shop: Shop, jane: Person) -> None:
    signed_in = [shop.login(jane.email, PASSWORD) for _ in range(8)]
    answers = await asyncio.gather(*signed_in, shop.ask("DELETE", f"/auth/users/{jane.id}", token=jane.token))
    assert answers[-1].status == 204
    for each in answers[:-1]:
        assert each.status in {200, 401, 403}
        if each.status == 200:
            assert (await shop.refresh(each.body["refresh_token"])).status == 401
            assert (await shop.validate(each.body["access_token"])).status == 401
    assert await shop.database.fetchval("SELECT count(*) FROM refresh_families WHERE ended_at IS NULL") == 0
