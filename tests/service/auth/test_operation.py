"""What operators rely on: readiness, metrics, the description of the API, and logs without secrets (R64, A17)."""

import pytest
from tests.service.auth.shop import OpenShop, Shop

STATUSES = {
    ("/auth/register", "post"): {"201", "400", "409", "413", "415", "429", "503"},
    ("/auth/login", "post"): {"200", "400", "401", "403", "413", "415", "429", "503"},
    ("/auth/refresh", "post"): {"200", "400", "401", "413", "415", "429", "503"},
    ("/auth/validate", "post"): {"200", "401", "503"},
    ("/auth/logout", "post"): {"204", "400", "413", "415", "429", "503"},
    ("/auth/sessions", "get"): {"200", "400", "401", "403", "429", "503"},
    ("/auth/sessions/{session_id}", "delete"): {"204", "400", "401", "403", "404", "429", "503"},
    ("/auth/password", "post"): {"204", "400", "401", "403", "413", "415", "429", "503"},
    ("/auth/service-tokens/revoke", "post"): {"204", "400", "401", "403", "413", "415", "429", "503"},
    ("/auth/users", "get"): {"200", "400", "401", "403", "429", "503"},
    ("/auth/users/{user_id}", "get"): {"200", "400", "401", "403", "404", "429", "503"},
    ("/auth/users/{user_id}", "patch"): {"200", "400", "401", "403", "404", "409", "413", "415", "429", "503"},
    ("/auth/users/{user_id}", "delete"): {"204", "400", "401", "403", "404", "409", "429", "503"},
}


async def test_the_service_is_ready_with_its_database_and_says_when_without(shop: Shop, open_shop: OpenShop) -> None:
    assert (await shop.ask("GET", "/health")).body == {"status": "ok"}
    ready = await shop.ask("GET", "/ready")
    assert (ready.status, ready.body["checks"]) == (200, {"database": "ok", "rate-limit-store": "ok"})
    without = await open_shop(DATABASE_URL="postgresql://auth:none@127.0.0.1:9/auth")
    assert (await without.ask("GET", "/health")).body == {"status": "ok"}
    ready = await without.ask("GET", "/ready")
    assert (ready.status, ready.body["checks"]) == (503, {"database": "unavailable", "rate-limit-store": "ok"})


async def test_without_its_database_the_service_says_so_and_lets_nobody_in(open_shop: OpenShop) -> None:
    shop = await open_shop(DATABASE_URL="postgresql://auth:none@127.0.0.1:9/auth")
    answer = await shop.login("jane@example.com")
    assert (answer.status, answer.code) == (503, "database-unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await shop.validate(shop.service())).status == 503  # its tokens may have been revoked


async def test_hashes_are_measured(shop: Shop) -> None:
    await shop.register()
    async with shop.http.get(f"{shop.url}/metrics") as answer:
        text = await answer.text()
    assert "shopflow_password_hash_seconds_count 1.0" in text
    assert 'shopflow_http_request_seconds_count{method="POST",route="/auth/register",status="201"} 1.0' in text


async def test_the_description_names_every_path_and_every_status(shop: Shop) -> None:
    described = (await shop.ask("GET", "/openapi.json")).body
    found = {
        (path, method): set(operation["responses"])
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/auth/")
    }
    assert found == STATUSES
    assert described["openapi"].startswith("3.1")


@pytest.mark.row("A-24")
async def test_no_secret_gets_into_a_log_line_an_answer_or_a_column(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    marker, newer_marker = "C4n4ry-pw!", "N3wer-c4n4ry!"
    made = (await shop.register(password=marker)).body
    pair = (await shop.login(made["email"], marker)).body
    newer = (await shop.refresh(pair["refresh_token"])).body
    bearer = newer["access_token"]
    change = {"current_password": marker, "new_password": newer_marker, "refresh_token": newer["refresh_token"]}
    answers = [
        made,
        await shop.register(email=f"{marker}@", password=marker[:7], first_name=""),
        await shop.register(password=marker * 8),
        await shop.ask("POST", "/auth/register", raw=f'{{"password": "{marker}", "email": '.encode()),
        await shop.login(made["email"], marker + marker),
        await shop.ask("POST", "/auth/login", body={"email": 7, "password": marker}),
        await shop.ask("POST", "/auth/login", body={"email": made["email"], "password": [marker]}),
        await shop.validate(bearer),
        await shop.validate(bearer + "x"),
        await shop.refresh(pair["access_token"]),
        await shop.refresh([newer["refresh_token"]]),
        await shop.ask("GET", f"/auth/users/{made['id']}", token=bearer),
        await shop.ask("GET", f"/auth/users/{bearer}", token=bearer),
        await shop.ask("GET", "/auth/sessions", token=bearer),
        await shop.ask("POST", "/auth/password", token=bearer, body=change | {"new_password": marker[:7]}),
        await shop.ask("POST", "/auth/password", token=bearer, body=change | {"current_password": marker + "x"}),
        await shop.ask("POST", "/auth/password", token=bearer, body=change | {"refresh_token": [marker]}),
        await shop.ask("POST", "/auth/password", token=bearer, body=change),
        await shop.ask("POST", "/auth/logout", body={"refresh_token": newer["refresh_token"], "all": marker}),
        await shop.ask("POST", "/auth/logout", body={"refresh_token": newer["refresh_token"], "all": True}),
        await shop.ask("POST", "/auth/service-tokens/revoke", token=bearer, body={"name": marker}),
    ]
    named = await shop.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stored = [await shop.database.fetch(f'SELECT * FROM "{row["tablename"]}"') for row in named]  # noqa: S608 - ours
    signatures = [token.rpartition(".")[2] for each in (pair, newer) for token in list(each.values())[:2]]
    logged = "".join(capfd.readouterr())
    assert "registered" in logged
    assert "password_changed" in logged
    for secret in (marker[:7], newer_marker, *signatures):
        assert secret not in logged
        assert secret not in str(answers)
        assert secret not in str(stored)
    assert made["email"] not in logged
