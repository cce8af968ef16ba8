"""POST /auth/validate: whom a token speaks for, judged by the account and the database's clock (PRD 7.1, A5-A13)."""

import ast
import re
import time
from pathlib import Path
from uuid import UUID, uuid4

import jwt
import pytest
from tests.service.auth.shop import SECRET, OpenShop, Person, Shop

from shopflow.contracts.identity import Role


@pytest.fixture
async def jane(shop: Shop) -> Person:
    return await shop.person()


async def refused(shop: Shop, token: str, code: str = "token-invalid") -> bool:
    answer = await shop.validate(token)
    assert answer.headers.get("WWW-Authenticate", "Bearer") == "Bearer"
    return answer.status == 401 and answer.code == code


async def test_a_users_token_is_answered_with_the_user(shop: Shop, jane: Person) -> None:
    answer = await shop.validate(jane.token)
    assert answer.status == 200
    assert answer.body == {"valid": True, "user": {"id": jane.id, "email": jane.email, "role": "customer"}}


@pytest.mark.parametrize("name", ["order-service", "notification-service"])
async def test_a_services_token_is_answered_with_its_name_and_no_address(shop: Shop, name: str) -> None:
    answer = await shop.validate(shop.service(name))
    assert answer.body == {"valid": True, "user": {"id": name, "email": None, "role": "service"}}


async def test_role_and_address_come_from_the_account_not_from_the_token(shop: Shop, jane: Person) -> None:
    forged = shop.tokens.access(UUID(jane.id), "other@example.com", Role.ADMIN, issued=shop.now())
    assert (await shop.validate(forged)).body["user"] == {"id": jane.id, "email": jane.email, "role": "customer"}
    await shop.database.execute("UPDATE users SET role = 'admin'")
    assert (await shop.validate(jane.token)).body["user"]["role"] == "admin"


@pytest.mark.row("A-6")
async def test_a_deactivated_or_removed_user_is_refused_at_once(shop: Shop, jane: Person) -> None:
    assert (await shop.validate(jane.token)).status == 200
    await shop.database.execute("UPDATE users SET is_active = false")
    assert await refused(shop, jane.token)
    await shop.database.execute("UPDATE users SET is_active = true")
    assert (await shop.validate(jane.token)).status == 200
    await shop.database.execute("DELETE FROM users")
    assert await refused(shop, jane.token)


@pytest.mark.row("A-6")
async def test_a_user_who_never_was_is_refused(shop: Shop) -> None:
    assert await refused(shop, shop.tokens.access(uuid4(), "jane@example.com", Role.ADMIN, issued=shop.now()))


async def test_an_expired_token_is_told_so(shop: Shop, jane: Person) -> None:
    old = shop.now() - 3600
    assert await refused(
        shop, shop.tokens.access(UUID(jane.id), jane.email, Role.CUSTOMER, issued=old), "token-expired"
    )
    assert await refused(shop, shop.tokens.service("order-service", issued=shop.now() - 24 * 3600), "token-expired")


async def test_a_token_from_beyond_thirty_seconds_in_the_future_is_refused(shop: Shop, jane: Person) -> None:
    near = shop.tokens.access(UUID(jane.id), jane.email, Role.CUSTOMER, issued=shop.now() + 25)
    far = shop.tokens.access(UUID(jane.id), jane.email, Role.CUSTOMER, issued=shop.now() + 40)
    assert (await shop.validate(near)).status == 200
    assert await refused(shop, far)


@pytest.mark.row("T-1")
@pytest.mark.parametrize("wrong_by", [-300.0, 300.0])
async def test_an_instance_whose_clock_is_wrong_judges_by_the_databases(
    shop: Shop, jane: Person, monkeypatch: pytest.MonkeyPatch, wrong_by: float
) -> None:
    now, right = shop.now(), time.time
    ending = shop.tokens.access(UUID(jane.id), jane.email, Role.CUSTOMER, issued=now - 3600 + 60)
    ended = shop.tokens.access(UUID(jane.id), jane.email, Role.CUSTOMER, issued=now - 3600)
    service = shop.tokens.service("order-service", issued=now - 24 * 3600 + 60)
    monkeypatch.setattr(time, "time", lambda: right() + wrong_by)
    for token in (jane.token, ending, service):
        assert (await shop.validate(token)).status == 200
    assert await refused(shop, ended, "token-expired")
    pair = (await shop.refresh(jane.refresh_token)).body
    again = (await shop.login(jane.email)).body
    monkeypatch.setattr(time, "time", lambda: right() - wrong_by)
    for token in (pair["access_token"], again["access_token"]):
        assert (await shop.validate(token)).status == 200
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False, "verify_exp": False})
        assert abs(claims["iat"] - now) < 60


@pytest.mark.row("T-1")
def test_auth_service_asks_no_clock_but_the_databases(root: Path) -> None:
    """What the one above cannot reach: `datetime.now` is not to be replaced from outside."""
    asked = [
        f"{path.name}: {ast.unparse(node)}"
        for path in (root / "src" / "shopflow" / "auth").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and [each.name for each in node.names] != ["perf_counter"]
        )
        or (isinstance(node, ast.Import) and any(each.name == "time" for each in node.names))
        or (
            isinstance(node, ast.Attribute)
            and node.attr in {"now", "utcnow", "today"}
            and "datetime" in ast.unparse(node)
        )
    ]
    assert asked == []


@pytest.mark.row("A-2")
async def test_a_refresh_token_is_no_access_token_on_any_path(shop: Shop, jane: Person) -> None:
    assert await refused(shop, jane.refresh_token)
    described = (await shop.ask("GET", "/openapi.json")).body["paths"]
    guarded = [
        (method.upper(), re.sub(r"\{\w+\}", jane.id, path))
        for path, operations in described.items()
        for method, operation in operations.items()
        if "security" in operation
    ]
    assert len(guarded) >= 9
    for method, path in guarded:
        answer = await shop.ask(method, path, token=jane.refresh_token, body={} if method == "POST" else None)
        assert (answer.status, answer.code) == (401, "token-invalid"), path
    assert (await shop.validate(jane.token)).status == 200


@pytest.mark.row("A-5")
async def test_users_and_services_cannot_be_confused(shop: Shop, jane: Person) -> None:
    times = {"iat": shop.now(), "exp": shop.now() + 60}
    for claims in (
        {"sub": jane.id, "role": "service"},
        {"sub": jane.id, "email": jane.email, "role": "service"},
        {"sub": "order-service", "email": jane.email, "role": "admin"},
        {"sub": "order-service", "role": "customer"},
        {"sub": "another-service", "role": "service"},
    ):
        assert await refused(shop, jwt.encode(claims | times, SECRET))


@pytest.mark.row("A-3")
async def test_another_secret_is_refused(shop: Shop, jane: Person) -> None:
    claims = jwt.decode(jane.token, SECRET, algorithms=["HS256"])
    assert (await shop.validate(jwt.encode(claims, SECRET))).status == 200
    assert await refused(shop, jwt.encode(claims, "another secret of more than thirty-two bytes"))
    assert await refused(shop, jwt.encode(claims, "", algorithm="none"))


async def test_the_scheme_is_bearer_in_any_case_and_one_space(shop: Shop, jane: Person) -> None:
    async def status(header: str) -> int:
        return (await shop.ask("POST", "/auth/validate", headers={"Authorization": header})).status

    for scheme in ("Bearer", "bearer", "BEARER"):
        assert await status(f"{scheme} {jane.token}") == 200
    for header in (
        "Bearer",
        "Bearer ",
        f"Bearer  {jane.token}",
        f"Bearer\t{jane.token}",
        f"Basic {jane.token}",
        jane.token,
        f"Bearer {jane.token} x",
        f"Bearer {jane.token},",
        "Bearer x",
        "Bearer ü",
    ):
        assert await status(header) == 401, header


async def test_a_missing_header_is_told_so(shop: Shop, jane: Person) -> None:
    assert (await shop.validate(None)).code == "token-missing"
    assert (await shop.ask("POST", "/auth/validate", headers={"Authorization": ""})).code == "token-missing"
    assert (await shop.ask("POST", f"/auth/validate?access_token={jane.token}")).code == "token-missing"


async def test_two_headers_are_refused(shop: Shop, jane: Person) -> None:
    headers = [("Authorization", f"Bearer {jane.token}"), ("Authorization", f"Bearer {jane.token}")]
    async with shop.http.post(f"{shop.url}/auth/validate", headers=headers) as answer:
        assert answer.status == 401


async def test_what_a_service_says_of_itself_changes_nothing(shop: Shop, jane: Person) -> None:
    for own in (shop.service(), "junk"):
        sent = {"Authorization": f"Bearer {jane.token}", "X-Service-Authorization": f"Bearer {own}"}
        assert (await shop.ask("POST", "/auth/validate", headers=sent)).body["user"]["id"] == jane.id
    alone = {"X-Service-Authorization": f"Bearer {shop.service()}"}
    assert (await shop.ask("POST", "/auth/validate", headers=alone)).status == 401


async def test_validation_never_answers_a_browser(open_shop: OpenShop) -> None:
    shop = await open_shop(CORS_ORIGINS="https://shop.example")
    person = await shop.person()
    origin = {"Origin": "https://shop.example", "Authorization": f"Bearer {person.token}"}
    inside = await shop.ask("POST", "/auth/validate", headers=origin)
    outside = await shop.ask("GET", f"/auth/users/{person.id}", headers=origin)
    assert inside.status == outside.status == 200
    assert "Access-Control-Allow-Origin" not in inside.headers
    assert outside.headers["Access-Control-Allow-Origin"] == "https://shop.example"
