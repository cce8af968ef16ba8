"""The plans of auth-service's statements over many rows: what a sign-in, a validation or a list waits for never scans
a whole table; the search in every account's name and address is the one exception.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from shopflow.auth import directory, revocations, session_list, sessions, store

JANE = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
NOW = datetime(2026, 11, 1, tzinfo=UTC)

FILL = """
WITH people AS (
    INSERT INTO users (id, email, password_hash, first_name, last_name, created_at)
    SELECT CASE WHEN number = 1 THEN $1 ELSE gen_random_uuid() END, 'jane' || number || '@example.com', repeat('x', 60),
           'Jane', 'Doe', now() - random() * interval '1 year'
    FROM generate_series(1, 10000) AS number
    RETURNING id
), families AS (
    INSERT INTO refresh_families (user_id, started_at, ends_at, ended_at, ended_by)
    SELECT id, now() - number * interval '1 day', now() + (90 - number) * interval '1 day',
           CASE WHEN number > 2 THEN now() END, CASE WHEN number > 2 THEN 'logout' END
    FROM people, generate_series(1, 5) AS number
    RETURNING id, started_at
), used AS (
    INSERT INTO refresh_tokens (family_id, sequence, jti, issued_at, expires_at, first_used_at)
    SELECT id, number, gen_random_uuid(), started_at, now() + interval '20 days', CASE WHEN number < 3 THEN now() END
    FROM families, generate_series(1, 3) AS number
)
INSERT INTO not_before (user_id, at) SELECT id, now() - interval '1 day' FROM people
"""


@pytest.fixture
async def filled(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[asyncpg.Connection]:
    """Ten thousand users, each with two sessions that go on and three that are over."""
    connection = await asyncpg.connect(await database_of("auth"))
    await connection.execute(FILL, JANE)
    await connection.execute("SET default_statistics_target = 10000")  # all rows, so that the plans are always the same
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


async def plan(connection: asyncpg.Connection, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    """Every step of a statement's plan."""
    described = msgspec.json.decode(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *parameters))
    return list(_steps(described[0]["Plan"]))


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for inner in step.get("Plans", ()):
        yield from _steps(inner)


def scanned(steps: list[dict[str, Any]]) -> set[str]:
    """The tables that are read whole; the revocations are one row a service."""
    tables = {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}
    return tables - {"service_token_revocations"}


async def test_signing_in_refreshing_and_validating_read_no_table_whole(filled: asyncpg.Connection) -> None:
    for statement, parameters in (
        (store.STANDING, (JANE,)),
        (store.UNCHANGED_HOLDER, (JANE, "x")),
        (store.HOLDER_OF_FAMILY, (uuid4(),)),
        (sessions.LOCKED_FAMILY, (uuid4(),)),
        (sessions.LINKS, (uuid4(), 1)),
        (sessions.LIVE_FAMILY, (uuid4(), 1, uuid4())),
        (sessions.ENDED_FAMILIES, (JANE, "logout", None)),
        (sessions.ENDED_FAMILY, (uuid4(), "logout")),
        (revocations.SERVICE_STANDING, ("order-service",)),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement


async def test_a_list_of_sessions_reads_those_of_its_user(filled: asyncpg.Connection) -> None:
    for statement, parameters in (
        (session_list.PAGE, (JANE, 20, 0)),
        (session_list.NUMBER, (JANE,)),
        (session_list.BEGINNING, (JANE, 20)),
        (session_list.BEHIND, (JANE, 20, NOW, uuid4())),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement


async def test_sessions_that_are_over_are_found_by_their_end(filled: asyncpg.Connection) -> None:
    assert scanned(await plan(filled, sessions.FORGOTTEN_FAMILIES)) == set()


async def test_an_account_is_found_by_its_address_and_the_newest_are_not_sorted_out_of_all(
    filled: asyncpg.Connection,
) -> None:
    by_address = directory._page_statement(("email",))
    assert scanned(await plan(filled, by_address, 20, 0, "jane7@example.com")) == set()
    newest = await plan(filled, directory._stretch_statement((), begun=False), 20)
    further = await plan(filled, directory._stretch_statement(("role",), begun=True), 20, "customer", NOW, uuid4())
    for steps in (newest, further):
        assert scanned(steps) == set()
        assert "idx_users_created_at" in {step.get("Index Name") for step in steps}
