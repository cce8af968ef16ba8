"""Service tokens: revoked by name and time, taken for nobody's account, good for reading one profile (A10, R7)."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest
from tests.service.auth.shop import SECRET, Answer, OpenShop, Person, Shop
from tests.service.auth.test_refresh import refused as refresh_refused

from shopflow.auth.tokens import SERVICES
from shopflow.contracts.fields import timestamp

BROKEN: list[tuple[dict[str, object], str]] = [
    ({"name": "another-service"}, "name"),
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"issued_before": None}, "issued_before"),
    ({"issued_before": ""}, "issued_before"),
    ({"issued_before": "yesterday"}, "issued_before"),
    ({"issued_before": "2026-02-17T10:30:00"}, "issued_before"),
    ({"issued_before": 1739789400}, "issued_before"),
    ({"issued_before": "9999-12-31T23:59:59-23:59"}, "issued_before"),
]

# What a service may do at auth-service, besides having its own token validated: read one profile, nothing else.
READABLE = ("GET", "/auth/users/{user_id}")
OPEN = {"/auth/register", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/validate"}


@pytest.fixture
async def admin(shop: Shop) -> Person:
    return await shop.person(admin=True)


async def revoke(shop: Shop, admin: Person, **fields: object) -> Answer:
    body = {"name": "notification-service", "issued_before": timestamp(datetime.now(UTC))} | fields
    sent = {name: value for name, value in body.items() if value is not None}
    return await shop.ask("POST", "/auth/service-tokens/revoke", body=sent, token=admin.token)


def issued(shop: Shop, ago: int, name: str = "notification-service") -> str:
    return shop.tokens.service(name, issued=shop.now() - ago)


async def valid(shop: Shop, *tokens: str) -> list[bool]:
    answers = [await shop.validate(token) for token in tokens]
    assert all(answer.status == 200 or answer.code == "token-invalid" for answer in answers)
    return [answer.status == 200 for answer in answers]


async def test_tokens_of_a_name_issued_before_an_instant_are_refused_at_once(shop: Shop, admin: Person) -> None:
    old, young, other = issued(shop, 600), issued(shop, 60), issued(shop, 600, "order-service")
    assert await valid(shop, old, young, other) == [True, True, True]
    answer = await revoke(shop, admin, issued_before=timestamp(datetime.now(UTC) - timedelta(seconds=300)))
    assert (answer.status, answer.body) == (204, None)
    assert await valid(shop, old, young, other) == [False, True, True]
    assert (await shop.ask("GET", f"/auth/users/{admin.id}", token=old)).status == 401


async def test_a_token_of_the_very_second_is_refused_when_its_beginning_lies_before(shop: Shop, admin: Person) -> None:
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    token = shop.tokens.service("order-service", issued=int(begun.timestamp()))
    await revoke(shop, admin, name="order-service", issued_before=timestamp(begun))
    assert await valid(shop, token) == [True]
    await revoke(shop, admin, name="order-service", issued_before=timestamp(begun + timedelta(milliseconds=1)))
    assert await valid(shop, token) == [False]


async def test_a_revocation_is_never_taken_back(shop: Shop, admin: Person) -> None:
    token = issued(shop, 60)
    await revoke(shop, admin)
    assert (await revoke(shop, admin, issued_before="2026-01-01T00:00:00Z")).status == 204
    assert await valid(shop, token) == [False]
    row = await shop.database.fetchrow("SELECT name, by FROM service_token_revocations")
    assert row is not None
    assert (row["name"], row["by"]) == ("notification-service", admin.id)


async def test_a_clock_that_is_a_little_fast_counts_as_now_and_the_future_is_a_400(shop: Shop, admin: Person) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=2)
    answer = await revoke(shop, admin, issued_before=timestamp(ahead))
    assert (answer.status, [each["field"] for each in answer.body["errors"]]) == (400, ["issued_before"])
    assert await valid(shop, issued(shop, 60)) == [True]
    assert (await revoke(shop, admin, issued_before=timestamp(datetime.now(UTC) + timedelta(seconds=20)))).status == 204
    assert await valid(shop, issued(shop, 0), issued(shop, -2)) == [False, True]


@pytest.mark.parametrize(
    "instant", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-02-17T10:30:00.123456+14:00"]
)
async def test_every_instant_of_the_past_is_taken(shop: Shop, admin: Person, instant: str) -> None:
    assert (await revoke(shop, admin, issued_before=instant)).status == 204


async def test_what_names_no_service_or_no_instant_is_a_400(shop: Shop, admin: Person) -> None:
    for fields, named in BROKEN:
        answer = await revoke(shop, admin, **fields)
        assert (answer.status, answer.code) == (400, "invalid-request"), fields
        assert [each["field"] for each in answer.body["errors"]] == [named], fields
    assert await shop.database.fetchval("SELECT count(*) FROM service_token_revocations") == 0


async def test_only_admins_revoke(shop: Shop, admin: Person) -> None:
    customer = await shop.person()
    body = {"name": "order-service", "issued_before": "2026-01-01T00:00:00Z"}
    for token in (customer.token, shop.service()):
        assert (await shop.ask("POST", "/auth/service-tokens/revoke", body=body, token=token)).status == 403
    assert (await shop.ask("POST", "/auth/service-tokens/revoke", body=body)).status == 401
    assert (await revoke(shop, admin)).status == 204


async def test_many_revocations_at_once_leave_the_latest(shop: Shop, admin: Person) -> None:
    now = datetime.now(UTC)
    instants = [timestamp(now - timedelta(minutes=minutes)) for minutes in range(20)]
    answers = await asyncio.gather(*(revoke(shop, admin, issued_before=instant) for instant in instants))
    assert {answer.status for answer in answers} == {204}
    latest = await shop.database.fetchval("SELECT issued_before FROM service_token_revocations")
    assert timestamp(latest) == instants[0]


@pytest.mark.row("A-3")
async def test_a_service_token_refreshes_nothing_and_no_edited_token_holds(shop: Shop, admin: Person) -> None:
    for name in SERVICES:
        assert await refresh_refused(shop, shop.service(name))
    claims = jwt.decode(admin.token, SECRET, algorithms=["HS256"])
    head, _, signature = admin.token.split(".")
    customer = await shop.person()
    edited = jwt.encode(jwt.decode(customer.token, SECRET, algorithms=["HS256"]) | {"role": "admin"}, "x" * 40)
    body = edited.split(".")[1]
    for token in (edited, f"{head}.{body}.{signature}", f"{head}.{body}.", jwt.encode(claims, "y" * 40)):
        assert await valid(shop, token) == [False]
        assert (await shop.ask("GET", f"/auth/users/{admin.id}", token=token)).status == 401


@pytest.mark.row("A-5")
async def test_only_a_services_name_goes_with_the_role_of_a_service(shop: Shop, admin: Person) -> None:
    times = {"iat": shop.now(), "exp": shop.now() + 60}
    for sub in (admin.id, str(uuid4()), "another-service", "notification-service ", ""):
        for email in (None, admin.email):
            for role in ("service", "customer", "admin"):
                if sub == admin.id and email and role != "service":
                    continue  # that is a user's token
                claims = {"sub": sub, "role": role} | ({"email": email} if email else {})
                assert await valid(shop, jwt.encode(claims | times, SECRET)) == [False]
    for name in SERVICES:
        for role in ("customer", "admin"):
            assert await valid(shop, jwt.encode({"sub": name, "role": role} | times, SECRET)) == [False]
        with_address = {"sub": name, "role": "service", "email": admin.email}
        assert await valid(shop, jwt.encode(with_address | times, SECRET)) == [False]
        assert await valid(shop, jwt.encode({"sub": name, "role": "service"} | times, SECRET)) == [True]


async def test_of_all_paths_a_service_may_only_read_one_profile(open_shop: OpenShop) -> None:
    shop = await open_shop()
    jane = await shop.person()
    described = (await shop.ask("GET", "/openapi.json")).body["paths"]
    asked = 0
    for path, operations in described.items():
        for method, operation in operations.items():
            if not path.startswith("/auth/") or path in OPEN:
                continue
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            filled = re.sub(r"\{\w+\}", jane.id, path)
            answer = await shop.ask(method.upper(), filled, body=body, token=shop.service())
            assert answer.status == (200 if (method.upper(), path) == READABLE else 403), (method, path, answer.body)
            asked += 1
    assert asked >= 8
    assert (await shop.refresh(jane.refresh_token)).status == 200
    assert (await shop.login(jane.email)).status == 200
