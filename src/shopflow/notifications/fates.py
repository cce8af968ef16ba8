"""What became of the events of orders: reads the records and the parked messages about them, and changes nothing."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from shopflow.kit.postgres import Connection, Row
from shopflow.notifications.fate import Fate, Letter, Record, judged

# Only what is not done: of a healthy shop no row. A queued notification is at work or rests until it is free; while its
# channel cannot be used nobody claims it, but a copy of its event comes by.
FATES: Final = """
SELECT wanted.order_id, wanted.event_type, record.event_id, record.queued, record.recent,
       letter.id AS letter_id, letter.state, letter.reason, letter.recent AS letter_recent
FROM unnest($1::uuid[], $2::text[]) AS wanted (order_id, event_type)
LEFT JOIN LATERAL (
    SELECT inbox.event_id, count(*) FILTER (WHERE status = 'queued') AS queued,
        coalesce(
            greatest(
                max(free_at) FILTER (WHERE status = 'queued'),
                (SELECT touched_at FROM unfinished WHERE unfinished.event_id = inbox.event_id)
            ) > clock_timestamp() - make_interval(secs => $3),
            false
        ) AS recent
    FROM inbox
    LEFT JOIN deliveries ON deliveries.event_id = inbox.event_id
    LEFT JOIN notifications ON notifications.id = deliveries.notification_id
    WHERE inbox.order_id = wanted.order_id AND inbox.event_type = wanted.event_type
    GROUP BY inbox.event_id
    ORDER BY queued DESC LIMIT 1
) AS record ON true
LEFT JOIN LATERAL (
    SELECT id, state, reason,
        greatest(parked_at, (SELECT max(at) FROM dead_letter_actions WHERE dead_letter_id = dead_letters.id))
            > clock_timestamp() - make_interval(secs => $3) AS recent
    FROM dead_letters
    WHERE dead_letters.order_id = wanted.order_id AND dead_letters.event_type = wanted.event_type
    ORDER BY state = 'open' DESC, parked_at DESC LIMIT 1
) AS letter ON true
WHERE coalesce(record.queued, 1) > 0
"""


class Told(NamedTuple):
    """What became of an event, under which id it is on record, and the parked message about it."""

    fate: Fate
    event_id: UUID | None
    letter: Letter | None


async def of(
    connection: Connection, events: Sequence[tuple[UUID, str]], *, older_than: float
) -> dict[tuple[UUID, str], Told]:
    """What became of events, by order and type, but for those that are settled.

    Args:
        connection: the database.
        events: order and type of each.
        older_than: seconds from which on something is not recent any more.
    """
    rows = await connection.fetch(FATES, [each for each, _ in events], [each for _, each in events], older_than)
    found = {(row["order_id"], row["event_type"]): _told(row) for row in rows}
    return {key: told for key, told in found.items() if told.fate is not Fate.SETTLED}


def _told(row: Row) -> Told:
    record = letter = None
    if row["event_id"] is not None:
        record = Record(row["event_id"], row["queued"], row["recent"])
    if row["letter_id"] is not None:
        letter = Letter(row["letter_id"], row["state"], row["reason"], row["letter_recent"])
    return Told(judged(record, letter), row["event_id"], letter)
