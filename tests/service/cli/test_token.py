"""`shopflow token revoke`, judged by a running auth-service: what was issued is refused, what comes next holds."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.service.cli.test_serve import SECRET, MakeDatabase, Served, run, served

NAME = "notification-service"


@pytest.fixture
async def url(database_of: MakeDatabase) -> str:
    return await database_of("auth")


@pytest.fixture
async def auth(url: str, tmp_path: Path) -> AsyncIterator[Served]:
    environment = {"DATABASE_URL": url, "JWT_SECRET": SECRET, "SHOPFLOW_ENV": "test", "BCRYPT_COST": "4"}
    async with served("auth", environment, tmp_path / "auth.log") as service:
        yield service


async def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "token", *words, **environment)


async def issued(name: str = NAME) -> str:
    return (await command("issue", "--service", name, JWT_SECRET=SECRET)).stdout.strip()


async def validated(auth: Served, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.post(f"{auth.url}/auth/validate", headers=headers) as answer:
        return answer.status


async def test_what_was_issued_is_refused_and_what_is_issued_next_holds(auth: Served, url: str) -> None:
    old, other = await issued(), await issued("order-service")
    assert [await validated(auth, old), await validated(auth, other)] == [200, 200]
    revoked = await command("revoke", "--service", NAME, DATABASE_URL=url)
    assert (revoked.returncode, revoked.stderr) == (0, "")
    assert revoked.stdout.startswith(f"tokens of {NAME} issued before 20")
    young = await issued()
    assert [await validated(auth, each) for each in (old, other, young)] == [401, 200, 200]


async def test_an_instant_spares_what_was_issued_after_it(auth: Served, url: str) -> None:
    token = await issued()
    for instant, status in (("2026-01-01T00:00:00Z", 200), ("2026-01-01T00:00:00+01:00", 200)):
        revoked = await command("revoke", "--service", NAME, "--issued-before", instant, DATABASE_URL=url)
        assert revoked.returncode == 0, revoked.stderr
        assert await validated(auth, token) == status


async def test_what_is_given_wrongly_is_told_and_revokes_nothing(url: str) -> None:
    for words, told in (
        (("--service", "nobody"), "--service must be one of notification-service, order-service"),
        (("--service", NAME, "--issued-before", "yesterday"), "--issued-before must be an RFC 3339 timestamp"),
        (("--service", NAME, "--issued-before", "2999-01-01T00:00:00Z"), "issued_before must not lie in the future"),
    ):
        refused = await command("revoke", *words, DATABASE_URL=url)
        assert refused.returncode == 2, words
        assert told in refused.stderr
    unreachable = await command("revoke", "--service", NAME, DATABASE_URL="postgresql://auth@127.0.0.1:9/auth")
    assert unreachable.returncode == 1
    assert "database does not answer" in unreachable.stderr
