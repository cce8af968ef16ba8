"""The live schema is section 9 of the PRD, plus exactly the additions that docs/departures.md lists (R27).

`prd_*.sql` hold the PRD's own statements. PostgreSQL itself reads both sides; its catalog is what is compared.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from shopflow.local.postgres import PostgreSQL

TABLES = {"auth": "users", "orders": "orders", "notifications": "notifications"}

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity::text, a.attgenerated::text
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

CHECKS = """
SELECT 'CHECK', conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype <> 'n'
"""

INDEXES = """
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = $1
"""

TRIGGERS = """
SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal
"""

ADDITION = re.compile(r"^\| `(?P<table>\w+)` \| (?P<kind>CHECK|index|trigger) \| `(?P<name>\w+)` \|", re.MULTILINE)

Connected = Callable[[str], Awaitable[asyncpg.Connection]]
Rule = tuple[str, ...]


@pytest.fixture
async def connected() -> AsyncIterator[Connected]:
    """Opens connections for as long as the test lasts."""
    opened: list[asyncpg.Connection] = []

    async def connect(url: str) -> asyncpg.Connection:
        opened.append(await asyncpg.connect(url))
        return opened[-1]

    yield connect
    for each in opened:
        await each.close()


@pytest.fixture
async def documented(
    postgres: PostgreSQL, superuser: asyncpg.Connection, connected: Connected, root: Path
) -> AsyncIterator[Connected]:
    """Makes a database that holds what the PRD's statements alone make."""
    made: list[str] = []

    async def make(service: str) -> asyncpg.Connection:
        name = f"prd_{uuid4().hex[:12]}"
        await superuser.execute(f'CREATE DATABASE "{name}"')
        made.append(name)
        connection = await connected(f"{postgres.superuser_url.rpartition('/')[0]}/{name}")
        await connection.execute((root / "tests" / "agreement" / f"prd_{service}.sql").read_text())
        return connection

    yield make
    for each in made:
        await superuser.execute(f'DROP DATABASE IF EXISTS "{each}" WITH (FORCE)')


@pytest.fixture
def additions(root: Path) -> set[Rule]:
    """What docs/departures.md says that ShopFlow adds: table, kind, name."""
    text = (root / "docs" / "departures.md").read_text()
    return {(each["table"], each["kind"], each["name"]) for each in ADDITION.finditer(text)}


async def rules(connection: asyncpg.Connection, table: str) -> set[Rule]:
    """Every constraint, index and trigger of a table: kind, name, definition."""
    return {tuple(row) for query in (CHECKS, INDEXES, TRIGGERS) for row in await connection.fetch(query, table)}


@pytest.mark.parametrize("service", TABLES)
async def test_the_columns_are_those_of_the_prd_and_no_other(
    service: str,
    documented: Connected,
    connected: Connected,
    database_of: Callable[[str], Awaitable[str]],
) -> None:
    table = TABLES[service]
    live = await connected(await database_of(service))
    wanted = await documented(service)
    assert await live.fetch(COLUMNS, table) == await wanted.fetch(COLUMNS, table)


@pytest.mark.parametrize("service", TABLES)
async def test_constraints_and_indexes_are_those_of_the_prd_and_the_listed_additions(
    service: str,
    documented: Connected,
    connected: Connected,
    database_of: Callable[[str], Awaitable[str]],
    additions: set[Rule],
) -> None:
    table = TABLES[service]
    live = await rules(await connected(await database_of(service)), table)
    wanted = await rules(await documented(service), table)
    assert wanted - live == set()
    assert {each[:2] for each in live - wanted} == {each[1:] for each in additions if each[0] == table}


def test_additions_are_listed_for_tables_of_the_prd_only(additions: set[Rule]) -> None:
    assert {each[0] for each in additions} <= set(TABLES.values())
