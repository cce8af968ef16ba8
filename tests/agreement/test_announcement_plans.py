"""The plans of what `shopflow reconcile` asks order-service's database: none is a scan of a whole table."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from tests.agreement.test_notification_plans import indexes, plan, scanned

from shopflow.orders import announcements, store

OF_THE_UNPUBLISHED = {"idx_outbox_unpublished_subject", "idx_outbox_unpublished"}
"""Each holds only what is not published; PostgreSQL 18 takes the one, 16 the other."""

FILL = """
WITH placed AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount)
    SELECT gen_random_uuid(), gen_random_uuid(), '[]', '{}', 1 FROM generate_series(1, 20000)
    RETURNING id
)
INSERT INTO outbox (event_id, subject_id, routing_key, body, headers, published_at)
SELECT gen_random_uuid(), id, 'order.created', 'x', '{}', CASE WHEN random() < 0.99 THEN now() END FROM placed
"""


@pytest.fixture
async def filled(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[asyncpg.Connection]:
    """A week of events, a hundredth of them not published."""
    connection = await asyncpg.connect(await database_of("orders"))
    await connection.execute(FILL)
    await connection.execute("SET default_statistics_target = 10000")  # all rows, so that the plans are always the same
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


async def test_no_look_at_what_orders_owe_reads_a_table_whole(filled: asyncpg.Connection) -> None:
    some = [uuid4() for _ in range(100)]
    for statement, parameters in (
        (announcements.BATCH, (some[0], 1000, 300.0)),
        (announcements.ONE, (some[0], 300.0)),
        (announcements.STANDINGS, (some, some, 300.0)),
        (store.ORDERS, (some,)),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement
    standings = await plan(filled, announcements.STANDINGS, some, some, 300.0)
    assert indexes(standings) - OF_THE_UNPUBLISHED == {"outbox_pkey"}
