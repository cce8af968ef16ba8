"""The plans of the desk's statements over a year of parked messages: none is a scan of the whole table."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from tests.agreement.test_notification_plans import indexes, plan, scanned

from shopflow.notifications import dead_letters, fates, resends
from shopflow.notifications.parking import KNOWN_KEYS

FILL = """
INSERT INTO dead_letters (id, parked_at, state, routing_key, message_id, digest, reason, attempts, order_id, user_id,
                          event_id, headers, body)
SELECT gen_random_uuid(), now() - random() * interval '1 year',
       CASE WHEN number % 100 = 0 THEN 'open' ELSE 'replayed' END, 'order.created.failed', number::text,
       decode(md5(number::text), 'hex'),
       CASE WHEN number % 200 = 0 THEN 'dependency_unavailable' ELSE 'provider_failed' END, 4, gen_random_uuid(),
       gen_random_uuid(), gen_random_uuid(), '{}', 'x'
FROM generate_series(1, 20000) AS number
"""

FILL_BESIDE = """
INSERT INTO dead_letter_actions (id, dead_letter_id, action, actor)
    SELECT gen_random_uuid(), id, 'replay', 'cli:jane' FROM dead_letters;
INSERT INTO notifications (id, user_id, channel, type, recipient, body)
    SELECT id, id, 'sms', 'order_created', '+15551234567', 'x' FROM dead_letters;
INSERT INTO inbox (event_id, event_type, order_id, user_id, digest, outcome)
    SELECT id, 'OrderCreated', id, id, '', 'notified' FROM notifications;
INSERT INTO deliveries (notification_id, event_id) SELECT id, id FROM notifications;
INSERT INTO unfinished (event_id, message_id, headers, body) SELECT id, 'x', '{}', 'x' FROM notifications;
INSERT INTO attempts (id, notification_id, last) SELECT id, id, false FROM notifications;
INSERT INTO resends (notification_id, original_id, actor, reason, due_at)
    SELECT id, id, 'cli:jane', 'x', 'infinity' FROM notifications;
"""


@pytest.fixture
async def filled(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[asyncpg.Connection]:
    """A year of parked messages, a hundredth of them open."""
    connection = await asyncpg.connect(await database_of("notifications"))
    await connection.execute(FILL)
    await connection.execute(FILL_BESIDE)
    await connection.execute("SET default_statistics_target = 10000")  # all rows, so that the plans are always the same
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


async def test_no_look_and_no_action_reads_a_table_whole(filled: asyncpg.Connection) -> None:
    one, now = uuid4(), datetime.now(UTC)
    for statement, parameters in (
        (dead_letters._statement(dead_letters._PAGE, ("order_id",), first=3), (20, 0, one)),
        (dead_letters._statement(dead_letters._STRETCH, (), first=2, begun=True), (21, now, one)),
        (dead_letters._statement(dead_letters._OLDEST, ("state",), first=3), (1000, KNOWN_KEYS, "open")),
        (dead_letters._ONE, (one, 10)),
        (dead_letters._ACTIONS, (one,)),
        (dead_letters._PREVIEW, ([one],)),
        (dead_letters._BEGIN, (one, uuid4(), "cli:jane", None, KNOWN_KEYS)),
        (dead_letters._END, (one, uuid4(), 1)),
        (dead_letters._DUE, (20, 10.0, KNOWN_KEYS)),
        (dead_letters._OPEN, ()),
        (fates.FATES, ([one] * 200, ["OrderCreated"] * 200, 300.0)),
        (resends._DUE, (10, 60.0)),
        (resends._RECORDED, (one,)),
    ):
        assert scanned(await plan(filled, statement, *parameters)) == set(), statement


async def test_those_parked_last_are_not_sorted_out_of_all(filled: asyncpg.Connection) -> None:
    statement = dead_letters._statement(dead_letters._STRETCH, (), first=2)
    assert indexes(await plan(filled, statement, 21)) == {"idx_dead_letters_parked_at"}
