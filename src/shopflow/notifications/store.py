"""The statements of notification-service. Each constant is named for what it returns or does."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from shopflow.contracts.fields import timestamp
from shopflow.kit.postgres import Connection, Row
from shopflow.notifications.bodies import NotificationDetail, NotificationSummary
from shopflow.notifications.notification import ChannelName, DeliveryStatus

A = TypeVar("A", bound=msgspec.Struct)

SCHEMA: Final = Path(__file__).parent / "schema"


class Recorded(msgspec.Struct, frozen=True):
    """A notification that is on record: what was rendered, for whom, and where it stands."""

    id: UUID
    channel: ChannelName
    recipient: str
    subject: str | None
    body: str
    text: str | None
    status: DeliveryStatus


class Fresh(msgspec.Struct, frozen=True):
    """A notification to be recorded. `text` is an e-mail's plain part."""

    id: UUID
    channel: ChannelName
    type: str
    recipient: str
    subject: str | None
    body: str
    text: str | None


class Filter(msgspec.Struct, frozen=True):
    """Which notifications a list holds; None lets everything through."""

    user_id: UUID | None = None
    order_id: UUID | None = None
    channel: str | None = None
    status: str | None = None
    type: str | None = None


_RECORDED: Final = """
SELECT inbox.event_id, notifications.id, channel, recipient, subject, body, text, status
FROM inbox
LEFT JOIN deliveries ON deliveries.event_id = inbox.event_id
LEFT JOIN notifications ON notifications.id = deliveries.notification_id
WHERE inbox.event_id = $1
"""

_RECORD: Final = """
WITH received AS (
    INSERT INTO inbox (event_id, event_type, order_id, user_id, outcome) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
), fresh AS (
    SELECT * FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
        AS row (id, channel, type, recipient, subject, body, text)
    WHERE EXISTS (SELECT FROM received)
), stored AS (
    INSERT INTO notifications (id, user_id, order_id, channel, type, recipient, subject, body)
    SELECT id, $4, $3, channel, type, recipient, subject, body FROM fresh
)
INSERT INTO deliveries (notification_id, event_id, text) SELECT id, $1, text FROM fresh
"""

_CLAIM: Final = """
WITH claimed AS (
    UPDATE deliveries
    SET claimed_by = $2, claimed_until = clock_timestamp() + make_interval(secs => $3)
    FROM notifications
    WHERE deliveries.notification_id = $1
      AND notifications.id = deliveries.notification_id
      AND notifications.status = 'queued'
      AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
    RETURNING deliveries.notification_id
), interrupted AS (
    SELECT count(*) AS number FROM attempts
    WHERE notification_id = $1 AND (outcome IS NULL OR outcome = 'in_doubt')
), attempt AS (
    INSERT INTO attempts (notification_id) SELECT notification_id FROM claimed RETURNING id
)
SELECT attempt.id, interrupted.number > 0 AS in_doubt FROM attempt, interrupted
"""

_FINISH: Final = """
WITH ended AS (
    UPDATE attempts
    SET ended_at = clock_timestamp(), outcome = $3, code = $4, provider_ref = $5, reason = $6
    WHERE id = $2
), released AS (
    UPDATE deliveries SET claimed_by = NULL, claimed_until = NULL WHERE notification_id = $1 AND claimed_by = $8
)
UPDATE notifications
SET status = $7::text,
    provider_ref = CASE WHEN $7::text = 'sent' THEN $5 ELSE provider_ref END,
    sent_at = CASE WHEN $7::text = 'sent' THEN clock_timestamp() ELSE sent_at END,
    error_message = CASE WHEN $7::text = 'failed' THEN $9::text ELSE NULL END
WHERE id = $1 AND status = 'queued'
"""

_STATUS: Final = "SELECT status FROM notifications WHERE id = $1"

_ONE: Final = """
SELECT id, user_id, order_id, channel, type, recipient, subject, body, status, provider_ref, error_message,
       sent_at, created_at
FROM notifications WHERE id = $1
"""

_PAGE: Final = """
WITH total AS (SELECT count(*) AS number FROM notifications WHERE {matching}),
page AS (
    SELECT id, user_id, order_id, channel, type, recipient, subject, status, sent_at, created_at
    FROM notifications WHERE {matching} ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2
)
SELECT total.number AS total_items, page.*
FROM total LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC
"""


@cache
def _page_statement(columns: tuple[str, ...]) -> str:
    """The statement for a page filtered by these columns: made once for each set, so that each has its own plan."""
    conditions = [f"{column} = ${number}" for number, column in enumerate(columns, start=3)]
    return _PAGE.format(matching=" AND ".join(conditions) or "true")


async def recorded(connection: Connection, event_id: UUID) -> list[Recorded] | None:
    """The notifications on record for an event; None when the event was never recorded."""
    rows = await connection.fetch(_RECORDED, event_id)
    if not rows:
        return None
    return [_recorded(row) for row in rows if row["id"] is not None]


async def record(
    connection: Connection,
    *,
    event_id: UUID,
    event_type: str,
    order_id: UUID,
    user_id: UUID,
    outcome: str,
    fresh: Sequence[Fresh],
) -> None:
    """Records an event with its notifications, all or nothing; an event on record already stays as it is."""
    columns = [[getattr(each, name) for each in fresh] for name in Fresh.__struct_fields__]
    await connection.execute(_RECORD, event_id, event_type, order_id, user_id, outcome, *columns)


async def claim(connection: Connection, notification_id: UUID, *, owner: UUID, lease: float) -> tuple[int, bool] | None:
    """Takes a queued notification for this owner and opens an attempt.

    Returns:
        The attempt's id, and whether an earlier attempt's end is unknown; None when it is settled or another's.
    """
    row = await connection.fetchrow(_CLAIM, notification_id, owner, lease)
    return None if row is None else (row["id"], row["in_doubt"])


async def finish(
    connection: Connection,
    notification_id: UUID,
    *,
    attempt: int,
    owner: UUID,
    outcome: str,
    code: str | None,
    provider_ref: str | None,
    reason: str | None,
    status: DeliveryStatus,
    error: str | None,
) -> None:
    """Ends an attempt, moves the notification to `status` and gives up the claim, all in one statement."""
    await connection.execute(
        _FINISH, notification_id, attempt, outcome, code, provider_ref, reason, status.value, owner, error
    )


async def status(connection: Connection, notification_id: UUID) -> DeliveryStatus:
    """Where a notification stands."""
    return DeliveryStatus(await connection.fetchval(_STATUS, notification_id))


async def detail(connection: Connection, notification_id: UUID) -> NotificationDetail | None:
    """One notification in full, or None."""
    row = await connection.fetchrow(_ONE, notification_id)
    return None if row is None else _answer(row, NotificationDetail)


async def page(
    connection: Connection, chosen: Filter, *, limit: int, offset: int
) -> tuple[list[NotificationSummary], int]:
    """One page of the notifications that a filter lets through, newest first, and how many there are in all."""
    wanted = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
    rows = await connection.fetch(_page_statement(tuple(wanted)), limit, offset, *wanted.values())
    return [_answer(row, NotificationSummary) for row in rows if row["id"] is not None], rows[0]["total_items"]


def _recorded(row: Row) -> Recorded:
    return Recorded(
        id=row["id"],
        channel=ChannelName(row["channel"]),
        recipient=row["recipient"],
        subject=row["subject"],
        body=row["body"],
        text=row["text"],
        status=DeliveryStatus(row["status"]),
    )


def _answer(row: Row, type_: type[A]) -> A:
    """A row in its JSON form: ids as text, instants as the contract writes them."""
    return msgspec.convert({name: _plain(row[name]) for name in type_.__struct_fields__}, type_)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return timestamp(value)
        case UUID():
            return str(value)
        case _:
            return value
