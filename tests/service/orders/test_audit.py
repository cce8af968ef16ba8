"""The history's hash chain: that nobody changes it by accident, that whoever does on purpose is found, and the command
that finds him.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.service.orders.shop import Shop

from shopflow.contracts.orders import Status
from shopflow.kit.migrations import migrate
from shopflow.kit.postgres import Database
from shopflow.local.postgres import PostgreSQL
from shopflow.orders import verify as verifying
from shopflow.orders.audit import Rule
from shopflow.orders.store import SCHEMA
from shopflow.orders.verify import NotChained, Verdict

LIFE = list(Status)
SILENCED = "ALTER TABLE order_history DISABLE TRIGGER order_history_append_only"
Finding = tuple[UUID, Rule]


async def verified(url: str, until: datetime | None = None) -> tuple[Verdict, list[Finding]]:
    """What a run over a database finds."""
    database = Database(url, size=1)
    await database.open()
    found: list[Finding] = []
    try:
        verdict = await verifying.verify(
            database,
            until=until or datetime.now(UTC),
            found=lambda order_id, rule: found.append((order_id, rule)),
            progress=lambda _, share: None if 0 <= share <= 1 else pytest.fail("a share is at most all"),
        )
    finally:
        await database.close()
    return verdict, found


async def lived(shop: Shop) -> dict[Status, str]:
    """An order in each state, by the way through the front door; their ids."""
    orders = {}
    for status in LIFE:
        orders[status] = (await shop.place())["id"]
        for each in LIFE[1 : LIFE.index(status) + 1]:
            await shop.advance(orders[status], each, reason="\u00e9 \U0001f600 because")
    return orders


async def test_what_the_service_wrote_holds_and_is_counted(shop: Shop) -> None:
    assert (await verified(shop.database))[0].orders == 0
    await lived(shop)
    verdict, found = await verified(shop.database)
    assert found == []
    assert (verdict.orders, verdict.entries, verdict.broken) == (4, 10, 0)
    hashes = {row["hash"] for row in await shop.rows("SELECT hash FROM order_history")}
    assert len(hashes) == 10
    assert {len(each) for each in hashes} == {32}


TAMPERING: dict[str, tuple[str, set[Rule]]] = {
    "a changed reason": (
        "UPDATE order_history SET reason = 'another' WHERE order_id = $1 AND to_status = 'shipped'",
        {Rule.HASH_DIFFERS},
    ),
    "a reason taken away": (
        "UPDATE order_history SET reason = NULL WHERE order_id = $1 AND to_status = 'delivered'",
        {Rule.HASH_DIFFERS},
    ),
    "another actor": (
        "UPDATE order_history SET actor_id = gen_random_uuid()::text WHERE order_id = $1 AND to_status = 'pending'",
        {Rule.HASH_DIFFERS},
    ),
    "a moment later": (
        "UPDATE order_history SET at = at + interval '1 microsecond' WHERE order_id = $1 AND to_status = 'confirmed'",
        {Rule.HASH_DIFFERS, Rule.TIMES_DIFFER},
    ),
    "a dropped entry in the middle": (
        "DELETE FROM order_history WHERE order_id = $1 AND to_status = 'confirmed'",
        {Rule.ENTRY_MISSING, Rule.HASH_DIFFERS, Rule.TIMES_DIFFER},
    ),
    "a dropped first entry": (
        "DELETE FROM order_history WHERE order_id = $1 AND to_status = 'pending'",
        {Rule.ENTRY_MISSING, Rule.HASH_DIFFERS, Rule.TIMES_DIFFER},
    ),
    "a dropped last entry": (
        "DELETE FROM order_history WHERE order_id = $1 AND to_status = 'delivered'",
        {Rule.STATUS_DIFFERS, Rule.TIMES_DIFFER},
    ),
    "a dropped history": ("DELETE FROM order_history WHERE order_id = $1", {Rule.HISTORY_MISSING}),
    "a dropped order": ("DELETE FROM orders WHERE id = $1", {Rule.ORDER_MISSING}),
    "a rewritten hash": (
        "UPDATE order_history SET hash = sha256('x') WHERE order_id = $1 AND to_status = 'delivered'",
        {Rule.HASH_DIFFERS},
    ),
    "a rewritten hash before others": (
        "UPDATE order_history SET hash = sha256('x') WHERE order_id = $1 AND to_status = 'pending'",
        {Rule.HASH_DIFFERS},
    ),
    "a status set back": (
        "UPDATE orders SET status = 'shipped', delivered_at = NULL WHERE id = $1",
        {Rule.STATUS_DIFFERS, Rule.TIMES_DIFFER},
    ),
    "a changed timestamp": (
        "UPDATE orders SET shipped_at = shipped_at + interval '1 day' WHERE id = $1",
        {Rule.TIMES_DIFFER},
    ),
    "another moment of placing": (
        "UPDATE orders SET created_at = created_at - interval '1 day' WHERE id = $1",
        {Rule.TIMES_DIFFER},
    ),
    "entries that change places": (
        "UPDATE order_history SET at = at - interval '1 day' WHERE order_id = $1 AND to_status = 'delivered'",
        {Rule.HASH_DIFFERS, Rule.TIME_GOES_BACK, Rule.TIMES_DIFFER},
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
async def test_whoever_changes_something_in_the_tables_is_found(shop: Shop, name: str) -> None:
    statement, rules = TAMPERING[name]
    orders = await lived(shop)
    await shop.rows(SILENCED)
    await shop.rows(statement, orders[Status.DELIVERED])
    verdict, found = await verified(shop.database)
    assert {rule for _, rule in found} == rules
    assert {str(order_id) for order_id, _ in found} == {orders[Status.DELIVERED]}
    assert verdict.broken == len(found)


async def test_entries_of_states_that_are_none_and_chains_of_another_order_are_found(shop: Shop) -> None:
    orders = await lived(shop)
    for constraint in ("order_history_follows_the_state_machine", "order_history_pkey"):
        await shop.rows(f"ALTER TABLE order_history DROP CONSTRAINT {constraint}")
    await shop.rows(SILENCED)
    await shop.rows("UPDATE order_history SET to_status = 'eaten' WHERE to_status = 'delivered'")
    one, other = orders[Status.PENDING], orders[Status.CONFIRMED]
    await shop.rows(
        "UPDATE order_history AS entry SET hash = source.hash FROM order_history AS source"
        " WHERE entry.order_id = $1 AND source.order_id = $2 AND source.to_status = 'pending'",
        one,
        other,
    )
    await shop.rows("INSERT INTO order_history SELECT * FROM order_history WHERE order_id = $1", orders[Status.SHIPPED])
    found: dict[str, set[Rule]] = {}
    for order_id, rule in (await verified(shop.database))[1]:
        found.setdefault(str(order_id), set()).add(rule)
    assert found == {
        one: {Rule.HASH_DIFFERS},
        orders[Status.SHIPPED]: {Rule.ENTRY_UNKNOWN},
        orders[Status.DELIVERED]: {Rule.ENTRY_UNKNOWN, Rule.STATUS_DIFFERS, Rule.TIMES_DIFFER},
    }


async def test_who_rewrites_everything_consistently_is_found_by_a_digest_kept_elsewhere(shop: Shop) -> None:
    orders = await lived(shop)
    until = datetime.now(UTC)
    kept, _ = await verified(shop.database, until)
    await shop.advance(orders[Status.PENDING], "confirmed")
    await shop.place()
    again, _ = await verified(shop.database, until)
    assert again.digest == kept.digest, "what comes later changes nothing"
    later, _ = await verified(shop.database)
    assert later.digest != kept.digest
    await shop.rows(SILENCED)
    await shop.rows(
        "DELETE FROM order_history WHERE order_id = $1 AND to_status = 'delivered'", orders[Status.DELIVERED]
    )
    await shop.rows(
        "UPDATE orders SET status = 'shipped', delivered_at = NULL, updated_at = shipped_at WHERE id = $1",
        orders[Status.DELIVERED],
    )
    truncated, found = await verified(shop.database, until)
    assert found == [], "the chain alone cannot tell that its end is gone"
    assert truncated.digest != kept.digest


async def test_a_run_in_many_batches_finds_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await lived(shop)
    until = datetime.now(UTC)
    await shop.rows(SILENCED)
    await shop.rows("DELETE FROM order_history WHERE to_status = 'shipped'")
    await shop.rows("DELETE FROM orders WHERE status = 'pending'")
    whole = await verified(shop.database, until)
    assert {rule for _, rule in whole[1]} >= {Rule.ORDER_MISSING, Rule.ENTRY_MISSING, Rule.STATUS_DIFFERS}
    for size in (1, 2, 5):
        monkeypatch.setattr(verifying, "BATCH", size)
        assert await verified(shop.database, until) == whole


async def test_an_order_goes_on_after_its_history_was_taken_and_stays_broken(shop: Shop) -> None:
    order = await shop.place()
    await shop.rows(SILENCED)
    await shop.rows("DELETE FROM order_history")
    await shop.advance(order["id"], "confirmed")
    assert {rule for _, rule in (await verified(shop.database))[1]} == {Rule.ENTRY_MISSING, Rule.TIMES_DIFFER}


CHANGES = ["UPDATE order_history SET reason = 'x'", "DELETE FROM order_history", "TRUNCATE order_history"]


@pytest.mark.parametrize("statement", CHANGES)
async def test_the_database_refuses_to_change_history_even_for_a_superuser_who_does_not_mean_it(
    shop: Shop, postgres: PostgreSQL, statement: str
) -> None:
    await shop.place()
    with pytest.raises(asyncpg.exceptions.RestrictViolationError):
        await shop.rows(statement)
    superuser = await asyncpg.connect(f"{postgres.superuser_url.rpartition('/')[0]}/{shop.database.rpartition('/')[2]}")
    try:
        for role in ("origin", "replica"):
            await superuser.execute(f"SET session_replication_role = {role}")
            with pytest.raises(asyncpg.exceptions.RestrictViolationError):
                await superuser.execute(statement)
    finally:
        await superuser.close()
    assert len(await shop.rows("SELECT FROM order_history")) == 1


@pytest.fixture
async def empty(
    postgres: PostgreSQL, superuser: asyncpg.Connection, template: Callable[[str], Awaitable[str]]
) -> AsyncIterator[str]:
    """A database without any table."""
    owner, name = await template("orders"), f"orders_{uuid4().hex[:12]}"
    await superuser.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
    yield postgres.url(name, user=owner, password="only-for-tests")
    await superuser.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


HISTORY = """
INSERT INTO order_history (order_id, from_status, to_status, actor_id, actor_role, reason, trace_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
ORDER = """
INSERT INTO orders (id, user_id, items, shipping_address, total_amount, status, created_at, updated_at, confirmed_at,
                    shipped_at, delivered_at)
VALUES ($1, $2, '[]', '{}', 1, $3, $4, $5, $6, $7, $8)
"""


async def test_the_migration_chains_the_histories_of_before_as_the_service_would_have(
    empty: str, tmp_path: Path
) -> None:
    shutil.copy(SCHEMA / "orders_0001_initial.sql", tmp_path)
    await migrate(empty, tmp_path)
    connection = await asyncpg.connect(empty)
    try:
        for number, reason in enumerate(("", None, "\u00e9\u0301 \U0001f600\n", "x" * 500)):
            order_id = uuid4()
            times: list[Any] = [
                datetime(1970 + 30 * number, 1, 1, tzinfo=UTC) + timedelta(microseconds=step) for step in range(4)
            ]
            await connection.execute(ORDER, order_id, uuid4(), LIFE[-1], times[0], times[3], *times[1:])
            for source, target, at in zip([None, *LIFE], LIFE, times, strict=False):
                trace = None if number % 2 else uuid4().hex
                await connection.execute(HISTORY, order_id, source, target, "someone", "admin", reason, trace, at)
        assert (await migrate(empty, SCHEMA))[:2] == ["orders_0002_idempotency_keys", "orders_0003_history_chain"]
        with pytest.raises(asyncpg.exceptions.RestrictViolationError):
            await connection.execute("DELETE FROM order_history")
    finally:
        await connection.close()
    verdict, found = await verified(empty)
    assert found == []
    assert (verdict.orders, verdict.entries) == (4, 16)


async def test_a_database_without_a_history_is_no_clean_one(empty: str) -> None:
    with pytest.raises(NotChained):
        await verified(empty)


async def command(url: str | None, *arguments: str) -> tuple[int, list[str]]:
    """The exit status and the output of `shopflow audit verify`."""
    environment = {"PATH": os.environ["PATH"]} | ({"DATABASE_URL": url} if url else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shopflow", "audit", "verify", *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode().splitlines()


async def test_the_command_says_what_is_broken_and_which_line_to_keep(shop: Shop, empty: str) -> None:
    orders = await lived(shop)
    until = datetime.now(UTC).isoformat()
    status, lines = await command(shop.database, "--until", until)
    assert (status, lines[0]) == (0, "4 orders, 10 entries: nothing broken")
    keep = lines[1].removeprefix("keep: shopflow audit verify ").split()
    assert (await command(shop.database, *keep))[0] == 0
    await shop.rows(SILENCED)
    await shop.rows("UPDATE order_history SET reason = 'another' WHERE to_status = 'delivered'")
    status, lines = await command(shop.database, "--json", *keep)
    told = [json.loads(line) for line in lines]
    assert (status, told[0]) == (1, {"order_id": orders[Status.DELIVERED], "rule": "hash-differs"})
    assert {name: told[1][name] for name in ("orders", "entries", "broken", "ok")} == {
        "orders": 4,
        "entries": 10,
        "broken": 1,
        "ok": False,
    }
    other = [*keep[:3], "0" * 64]
    await shop.rows("UPDATE order_history SET reason = '\u00e9 \U0001f600 because' WHERE to_status = 'delivered'")
    status, lines = await command(shop.database, *other)
    assert (status, lines[1][:30]) == (1, "the digest is not the expected")
    assert (await command(shop.database, "--expect", "0" * 64))[0] == 2
    assert (await command(shop.database, "--until", "yesterday"))[0] == 2
    assert (await command(None))[0] == 2
    assert (await command("postgresql://127.0.0.1:9/orders"))[0] == 3
    assert (await command(empty))[0] == 3
