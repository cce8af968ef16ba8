"""A running auth-service from which memory is taken, from outside: passwords are not checked, all else goes on."""

import asyncio
import resource
from pathlib import Path

import pytest
from tests.service.auth.shop import SECRET, Shop
from tests.service.cli.test_serve import served

LEFT = 4 * 1024**2
"""Bytes: enough for what a request needs (the interpreter takes memory by the MiB), too few for a stack of 8 MiB."""


def take_memory(pid: int) -> None:
    """Leaves a process no more than a little of what it has not taken yet."""
    taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (taken + LEFT, resource.RLIM_INFINITY))


@pytest.mark.row("K24")
async def test_without_memory_for_a_hash_signing_in_is_a_503_and_validation_goes_on(shop: Shop, tmp_path: Path) -> None:
    person = await shop.person()
    environment = {"DATABASE_URL": shop.database_url, "JWT_SECRET": SECRET, "SHOPFLOW_ENV": "test", "BCRYPT_COST": "4"}
    environment["RATE_LIMIT_AUTH"] = "off"  # its tables take their memory with the first count, not at the start
    async with served("auth", environment, tmp_path / "auth.log") as auth:
        other = Shop(auth.url, shop.http, shop.database_url, shop.database, shop.tokens, shop.numbers)
        take_memory(auth.process.pid)
        for refused in (await other.login(person.email), await other.register(), await other.login("who@example.com")):
            assert (refused.status, refused.code) == (503, "password-hashing-unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
        validated = await asyncio.gather(*(other.validate(person.token) for _ in range(20)))
        assert {each.status for each in validated} == {200}
        resource.prlimit(auth.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert (await other.login(person.email)).status == 200
        assert (await other.login(person.email, "wrong")).status == 401
        said = [line for line in auth.lines() if line["event"] == "password_not_hashed"]
    assert [line["error"] for line in said] == ["RuntimeError"] * 3
