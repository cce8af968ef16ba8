"""The pool that hashes: work is never refused while it would be done in time, and refused at once when not (A12)."""

import asyncio
from threading import Event

import pytest

from shopflow.auth import passwords
from shopflow.auth.hashing import Hashing
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, Problem


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which hashes were compared with: everything still runs, and is counted."""
    seen: list[str] = []
    real = passwords.matches

    def counting(password: str, stored: str) -> bool:
        seen.append(stored)
        return real(password, stored)

    monkeypatch.setattr(passwords, "matches", counting)
    return seen


async def test_a_hash_made_here_matches_here() -> None:
    hashing = Hashing(4, Metrics())
    stored = await hashing.hashed("S3cur3P@ssw0rd!")
    assert await hashing.matches("S3cur3P@ssw0rd!", stored)
    assert not await hashing.matches("another", stored)
    await hashing.close()


@pytest.mark.parametrize("password", ["S3cur3P@ssw0rd!", "wrong", "x" * 73])
async def test_every_comparison_is_one_hash_of_the_cost_in_force(compared: list[str], password: str) -> None:
    hashing = Hashing(5, Metrics())
    stored = await hashing.hashed("S3cur3P@ssw0rd!")
    for against in (stored, None):
        compared.clear()
        await hashing.matches(password, against)
        assert [each[:7] for each in compared] == ["$2b$05$"]
    await hashing.close()


async def test_without_an_account_nothing_matches() -> None:
    hashing = Hashing(4, Metrics())
    assert not await hashing.matches("S3cur3P@ssw0rd!", None)
    await hashing.close()


async def test_what_would_wait_too_long_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    hashing = Hashing(14, metrics, workers=1, patience=2.5)  # one hash is expected to take a second
    going = Event()

    def waiting(_: str, __: int) -> str:
        going.wait(10)
        return "$2b$04$"

    monkeypatch.setattr(passwords, "hashed", waiting)
    begun = [asyncio.ensure_future(hashing.hashed("x")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as caught:
        await hashing.hashed("x")
    going.set()
    assert await asyncio.gather(*begun) == ["$2b$04$"] * 3
    assert caught.value.kind is Kind.UNAVAILABLE
    assert caught.value.retry_after == 3
    assert b"shopflow_password_hashes_refused_total 1.0" in metrics.text()
    await hashing.close()


async def test_threads_that_broke_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(_: str, __: int) -> str:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("shopflow.auth.hashing._give_way", lambda: 1 / 0)  # what breaks before the first hash
        hashing = Hashing(4, Metrics())
        with pytest.raises(Problem) as broken:
            await hashing.hashed("x")
    with monkeypatch.context() as patched:
        patched.setattr(passwords, "hashed", without_memory)
        with pytest.raises(Problem) as lacking:
            await hashing.hashed("x")
    assert [each.value.code for each in (broken, lacking)] == ["password-hashing-unavailable"] * 2
    assert await hashing.matches("S3cur3P@ssw0rd!", await hashing.hashed("S3cur3P@ssw0rd!"))
    await hashing.close()
