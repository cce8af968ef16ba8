"""The plans of notification-service's statements over many rows: what a customer or an event waits for is never a scan
of a whole table.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from shopflow.notifications import attempts, receipts, store

CUSTOMER = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")

FILL = """
WITH events AS (
    INSERT INTO inbox (event_id, event_type, order_id, user_id, digest, outcome)
    SELECT gen_random_uuid(), 'OrderCreated', gen_random_uuid(),
           CASE WHEN number % 200 = 0 THEN $1 ELSE gen_random_uuid() END, '', 'notified'
    FROM generate_series(1, 10000) AS number
    RETURNING event_id, order_id, user_id
), told AS (
    INSERT INTO notifications (user_id, order_id, channel, type, recipient, body, status, created_at)
    SELECT user_id, order_id, channel, 'order_created', 'jane.doe@example.com', repeat('x', 200), 'queued',
           now() - random() * interval '1 year'
    FROM events, unnest(ARRAY['email', 'sms']) AS channel
    RETURNING id, order_id
), delivered AS (
    INSERT INTO deliveries (notification_id, event_id) SELECT id, event_id FROM told JOIN events USING (order_id)
)
INSERT INTO attempts (id, notification_id, last, outcome) SELECT gen_random_uuid(), id, false, 'failed' FROM told
"""

FILL_BESIDE = """
INSERT INTO receipts (notification_id, provider_ref, state, rank)
    SELECT id, id::text, 'delivered', 3 FROM notifications;
INSERT INTO suppressions (channel, recipient, cause)
    SELECT 'email', number || '@example.com', 'bounce' FROM generate_series(1, 5000) AS number;
"""


@pytest.fixture
async def filled(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[asyncpg.Connection]:
    """A year of notifications, a hundred of them one customer's."""
    connection = await asyncpg.connect(await database_of("notifications"))
    await connection.execute(FILL, CUSTOMER)
    await connection.execute(FILL_BESIDE)
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
    """The tables that are read whole."""
    return {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}


def indexes(steps: list[dict[str, Any]]) -> set[str]:
    return {step["Index Name"] for step in steps if "Index Name" in step}


@pytest.mark.parametrize("further", [{}, {"channel": "sms"}, {"status": "queued"}, {"type": "order_created"}])
async def test_a_customers_list_is_read_from_the_index_that_is_in_its_order(
    filled: asyncpg.Connection, further: dict[str, str]
) -> None:
    statement = store._page_statement(("user_id", *further))
    steps = await plan(filled, statement, 20, 0, CUSTOMER, *further.values())
    assert scanned(steps) == set()
    assert "idx_notifications_user_created" in indexes(steps)


@pytest.mark.parametrize("further", [{}, {"channel": "sms"}])
async def test_a_walk_goes_on_in_the_index_where_it_ended(filled: asyncpg.Connection, further: dict[str, str]) -> None:
    statement = store._stretch_statement(("user_id", *further), begun=True)
    half_a_year_ago = datetime.now(UTC) - timedelta(days=180)
    steps = await plan(filled, statement, 21, CUSTOMER, *further.values(), half_a_year_ago, uuid4())
    assert scanned(steps) == set()
    [entry] = [step for step in steps if step.get("Index Name") == "idx_notifications_user_created"]
    assert "ROW(created_at, id) < ROW(" in entry["Index Cond"]


async def test_the_notifications_of_one_order_are_found_by_an_index(filled: asyncpg.Connection) -> None:
    statement = store._page_statement(("user_id", "order_id"))
    assert scanned(await plan(filled, statement, 20, 0, CUSTOMER, uuid4())) == set()


async def test_the_newest_of_everybody_are_not_sorted_out_of_all(filled: asyncpg.Connection) -> None:
    steps = await plan(filled, store._page_statement(()), 20, 0)
    assert "idx_notifications_created_at" in indexes(steps)


async def test_handling_an_event_reads_no_table_whole(filled: asyncpg.Connection) -> None:
    ending = ("failed", None, None, None, "queued", None, False, 0.0, 1.0, True)
    for statement, parameters in (
        (store._RECORDED, (uuid4(),)),
        (store._CLAIM, (uuid4(), uuid4(), None, 30.0, False, "sms", "+15551234567")),
        (store._FINISH, (uuid4(), uuid4(), *ending)),
        (store._ONE, (uuid4(),)),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement


async def test_what_a_provider_reports_reads_no_table_whole(filled: asyncpg.Connection) -> None:
    said = ("sms", "SM1", "delivered", 3, None, None)
    for statement, parameters in (
        (receipts._RECORD, (said[0], uuid4(), *said[1:])),
        (receipts._RECORD, (said[0], None, *said[1:])),
        (receipts._ADOPT, (uuid4(), uuid4(), "SM1")),
        (attempts._PAGE, (uuid4(), 20, 0)),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement
