"""What the command line does to accounts: the first admin, promotion, deactivation, a new password."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from tests.service.auth.shop import PASSWORD, Shop

from shopflow.auth import change, register, store
from shopflow.auth.hashing import Hashing
from shopflow.auth.user import NewUser, User
from shopflow.contracts.identity import Role
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem

BY = "cli:root"
NEW = "An0ther-password"
BOSS = NewUser(email="boss@example.com", password=PASSWORD, first_name="The", last_name="Boss")


@pytest.fixture
async def hashing() -> AsyncIterator[Hashing]:
    made = Hashing(4, Metrics())
    yield made
    await made.close()


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    """The shop's database, as a command opens it."""
    opened = Database(shop.database_url, size=2)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def boss(database: Database, hashing: Hashing) -> User:
    return await register.register(database, hashing, BOSS, role=Role.ADMIN)


async def test_the_first_admin_signs_in(shop: Shop, boss: User) -> None:
    pair = (await shop.login("boss@example.com")).body
    assert (await shop.validate(pair["access_token"])).body["user"]["role"] == "admin"
    assert boss.governs


async def test_a_person_is_found_by_id_and_by_address(database: Database, boss: User) -> None:
    for who in (str(boss.id), str(boss.id).upper(), "boss@example.com", "Boss@Example.COM"):
        assert await store.find(database, who) == boss
    for who in (str(uuid4()), "nobody@example.com", "nobody", ""):
        assert await store.find(database, who) is None


async def test_promotion_and_demotion(database: Database, boss: User, shop: Shop) -> None:
    jane = await shop.person()
    assert (await change.promote(database, UUID(jane.id), by=BY)).role is Role.ADMIN
    assert (await shop.validate(jane.token)).body["user"]["role"] == "admin"
    assert (await change.demote(database, boss.id, by=BY)).role is Role.CUSTOMER
    with pytest.raises(Problem, match="last-admin"):
        await change.demote(database, UUID(jane.id), by=BY)


async def test_deactivation_notes_who_and_why(database: Database, boss: User, shop: Shop) -> None:
    jane = await shop.person()
    await change.deactivate(database, UUID(jane.id), by=BY, reason="asked by post")
    row = await shop.database.fetchrow("SELECT by, reason, at <= now() AS past FROM deactivations")
    assert row is not None
    assert tuple(row) == (BY, "asked by post", True)
    assert (await change.reactivate(database, UUID(jane.id), by=BY)).is_active
    assert await shop.database.fetchval("SELECT count(*) FROM deactivations") == 0
    with pytest.raises(Problem, match="last-admin"):
        await change.deactivate(database, boss.id, by=BY)


async def test_a_reason_has_at_most_500_characters(database: Database, shop: Shop) -> None:
    jane = UUID((await shop.person()).id)
    with pytest.raises(Problem, match="reason"):
        await change.deactivate(database, jane, by=BY, reason="x" * 501)
    assert not (await change.deactivate(database, jane, by=BY, reason="x" * 500)).is_active


async def test_a_new_password_ends_every_session(database: Database, hashing: Hashing, shop: Shop) -> None:
    jane = await shop.person()
    await change.reset_password(database, hashing, UUID(jane.id), password=NEW, by=BY)
    assert (await shop.login(jane.email)).status == 401
    assert (await shop.validate(jane.token)).status == 401
    assert (await shop.refresh(jane.refresh_token)).status == 401
    assert (await shop.validate((await shop.login(jane.email, NEW)).body["access_token"])).status == 200


async def test_nobody_is_changed_who_does_not_exist(database: Database, hashing: Hashing) -> None:
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: change.promote(database, uuid4(), by=BY),
        lambda: change.deactivate(database, uuid4(), by=BY),
        lambda: change.reset_password(database, hashing, uuid4(), password=NEW, by=BY),
    ]
    for each in changes:
        with pytest.raises(Problem, match="user-not-found"):
            await each()
