"""The statements of notification-service. Each constant is named for what it returns or does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from shopflow.contracts.fields import instant, timestamp
from shopflow.kit.pages import Position, bounds
from shopflow.kit.postgres import Connection, Row, rows_changed
from shopflow.notifications.bodies import NotificationDetail, NotificationSummary
from shopflow.notifications.notification import ChannelName, DeliveryStatus
from shopflow.notifications.original import Original

A = TypeVar("A", bound=msgspec.Struct)

SCHEMA: Final = Path(__file__).parent / "schema"


class Recorded(msgspec.Struct, frozen=True):
    """A notification that is on record: what was rendered, for whom, and where it stands.

    `attempt_id` is the latest attempt to deliver it; `exhausted` says that it failed on the last retry; `in_doubt` that
    nobody knows the end of some attempt. `tries` are the attempts behind it that count; `due_in` are the seconds until
    somebody may try, none when it is due.
    """

    id: UUID
    channel: ChannelName
    recipient: str
    subject: str | None
    body: str
    text: str | None
    status: DeliveryStatus
    attempt_id: UUID | None
    exhausted: bool
    in_doubt: bool = False
    tries: int = 0
    due_in: float = 0.0


class Received(msgspec.Struct, frozen=True):
    """An event that is on record: the digest of its bytes, and the notifications it led to."""

    digest: bytes
    notifications: tuple[Recorded, ...]


class Claim(msgspec.Struct, frozen=True):
    """The right to deliver one notification.

    `doubts` counts the attempts of which nobody knows the end, up to now and since the notification failed last;
    `doubtful_since` is when the first of them began; `spent`: one of them was made when no retry was left.
    `suppressed` is why nothing may be sent to this recipient, if so.
    """

    attempt_id: UUID
    doubts: int
    doubtful_since: datetime | None
    spent: bool
    suppressed: str | None


class Ending(msgspec.Struct, frozen=True):
    """What came of an attempt, and what that makes of its notification.

    While the notification stays queued, nobody may try again for `rest` seconds from the attempt's beginning and for
    `after` seconds from its end. `counted`: the attempt is one of the ladder's.
    """

    outcome: str
    code: str | None
    provider_ref: str | None
    reason: str | None
    status: DeliveryStatus
    error: str | None
    exhausted: bool
    rest: float
    after: float = 0.0
    counted: bool = False


class Fresh(msgspec.Struct, frozen=True):
    """A notification to be recorded. `text` is an e-mail's plain part; `attempt_id` claims it at once."""

    id: UUID
    channel: ChannelName
    type: str
    recipient: str
    subject: str | None
    body: str
    text: str | None
    attempt_id: UUID | None = None


class Event(msgspec.Struct, frozen=True):
    """An event to be recorded: what it is about, what it leads to, the digest of its bytes, and what brought it."""

    event_id: UUID
    event_type: str
    order_id: UUID
    user_id: UUID
    outcome: str
    digest: bytes
    original: Original


class Filter(msgspec.Struct, frozen=True):
    """Which notifications a list holds; None lets everything through."""

    user_id: UUID | None = None
    order_id: UUID | None = None
    channel: str | None = None
    status: str | None = None
    type: str | None = None


COLUMNS_OF_RECORDED: Final = """
notifications.id, channel, recipient, subject, body, text, status, attempt_id, exhausted, tries,
CASE WHEN status = 'queued' THEN greatest(extract(epoch FROM free_at - clock_timestamp()), 0)::float8 ELSE 0 END
    AS due_in,
EXISTS (
    SELECT FROM attempts
    WHERE notification_id = notifications.id AND (outcome IS NULL OR outcome = 'in_doubt')
) AS in_doubt
"""

_RECORDED: Final = f"""
SELECT inbox.digest, {COLUMNS_OF_RECORDED}
FROM inbox
LEFT JOIN deliveries ON deliveries.event_id = inbox.event_id
LEFT JOIN notifications ON notifications.id = deliveries.notification_id
WHERE inbox.event_id = $1
ORDER BY channel
"""  # noqa: S608 - constants of this file

_RECORD: Final = """
WITH received AS (
    INSERT INTO inbox (event_id, event_type, order_id, user_id, outcome, digest) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
), fresh AS (
    SELECT * FROM unnest(
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::uuid[]
    ) AS row (id, channel, type, recipient, subject, body, text, attempt_id)
    WHERE EXISTS (SELECT FROM received)
), stored AS (
    INSERT INTO notifications (id, user_id, order_id, channel, type, recipient, subject, body)
    SELECT id, $4, $3, channel, type, recipient, subject, body FROM fresh
), kept AS (
    INSERT INTO unfinished (event_id, message_id, headers, body)
    SELECT event_id, $16, $17::jsonb, $18::bytea FROM received WHERE EXISTS (SELECT FROM fresh)
), delivery AS (
    INSERT INTO deliveries (notification_id, event_id, text, attempt_id, free_at)
    SELECT id, $1, text, attempt_id,
        clock_timestamp() + CASE WHEN attempt_id IS NULL THEN '0' ELSE make_interval(secs => $7) END
    FROM fresh
), attempt AS (
    INSERT INTO attempts (id, notification_id, last)
    SELECT attempt_id, id, false FROM fresh WHERE attempt_id IS NOT NULL
)
SELECT fresh.id, suppressions.cause
FROM received
LEFT JOIN fresh ON attempt_id IS NOT NULL
LEFT JOIN suppressions ON suppressions.channel = fresh.channel AND suppressions.recipient = fresh.recipient
"""

# Whether a notification may be tried is decided by its row of `deliveries` alone: a row that changes while somebody
# waits for its lock is read again, the rows joined to it are not. That the latest attempt is still the one the caller
# saw makes the doubts complete: none can have come up since.
_CLAIM: Final = """
WITH settled AS (
    SELECT coalesce(max(started_at), '-infinity') AS at FROM attempts WHERE notification_id = $1 AND exhausted
), doubt AS (
    SELECT count(*) AS number, min(started_at) AS since,
        coalesce(bool_or(last AND outcome = 'in_doubt'), false) AS spent
    FROM attempts, settled
    WHERE notification_id = $1 AND (outcome IS NULL OR outcome = 'in_doubt') AND started_at > settled.at
), claimed AS (
    UPDATE deliveries
    SET attempt_id = $2, free_at = clock_timestamp() + make_interval(secs => $4)
    WHERE notification_id = $1 AND free_at <= clock_timestamp() AND attempt_id IS NOT DISTINCT FROM $3
    RETURNING notification_id
), attempt AS (
    INSERT INTO attempts (id, notification_id, last) SELECT $2, notification_id, $5 FROM claimed
)
SELECT doubt.number, doubt.since, doubt.spent,
    (SELECT cause FROM suppressions WHERE channel = $6 AND recipient = $7) AS suppressed
FROM claimed, doubt
"""

# An attempt whose process stood still may end after another has taken over. What it sent is sent, so it settles what
# nobody else has settled so; what is sent already it does not move, but if that was another message its row says so.
_FINISH: Final = """
WITH released AS (
    UPDATE deliveries
    SET attempt_id = $2,
        free_at = CASE WHEN $7 = 'queued' THEN greatest(
            attempts.started_at + make_interval(secs => $10), clock_timestamp() + make_interval(secs => $11)
        ) ELSE 'infinity' END,
        exhausted = $9,
        tries = tries + $12::boolean::integer
    FROM attempts JOIN notifications ON notifications.id = attempts.notification_id
    WHERE attempts.id = $2 AND deliveries.notification_id = $1 AND (
        attempt_id = $2 OR ($7 = 'sent' AND (free_at < 'infinity' OR notifications.status = 'failed'))
    )
    RETURNING deliveries.notification_id
), ended AS (
    UPDATE attempts
    SET ended_at = clock_timestamp(), outcome = $3, provider_ref = $5, reason = $6, exhausted = $9,
        code = CASE
            WHEN $5 <> notifications.provider_ref AND NOT EXISTS (SELECT FROM released) THEN 'doubled'
            ELSE $4
        END
    FROM notifications
    WHERE attempts.id = $2 AND notifications.id = $1
)
UPDATE notifications
SET status = $7::text,
    provider_ref = CASE WHEN $7 = 'sent' THEN $5 END,
    sent_at = CASE WHEN $7 = 'sent' THEN clock_timestamp() END,
    error_message = $8
FROM released
WHERE id = released.notification_id
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

_STRETCH: Final = """
SELECT id, user_id, order_id, channel, type, recipient, subject, status, sent_at, created_at
FROM notifications WHERE {matching} ORDER BY created_at DESC, id DESC LIMIT $1
"""


@cache
def _stretch_statement(columns: tuple[str, ...], *, begun: bool) -> str:
    """As `_page_statement`; the row behind which it begins is compared as a pair, as the index does."""
    conditions = [f"{column} = ${number}" for number, column in enumerate(columns, start=2)]
    if begun:
        conditions.append(f"(created_at, id) < (${len(columns) + 2}, ${len(columns) + 3})")
    return _STRETCH.format(matching=" AND ".join(conditions) or "true")


@cache
def _page_statement(columns: tuple[str, ...]) -> str:
    """The statement for a page filtered by these columns: made once for each set, so that each has its own plan."""
    conditions = [f"{column} = ${number}" for number, column in enumerate(columns, start=3)]
    return _PAGE.format(matching=" AND ".join(conditions) or "true")


async def received(connection: Connection, event_id: UUID) -> Received | None:
    """An event on record with its notifications; None when it was never recorded."""
    rows = await connection.fetch(_RECORDED, event_id)
    if not rows:
        return None
    return Received(rows[0]["digest"], tuple(_recorded(row) for row in rows if row["id"] is not None))


async def record(
    connection: Connection, event: Event, fresh: Sequence[Fresh], *, lease: float
) -> Mapping[UUID, Claim] | None:
    """Records an event with its notifications, all or nothing; those that come with an attempt are claimed by it.

    The message that brought it is kept beside them, for as long as one of them is not final.

    Returns:
        The claims by notification. None for an event on record already, which stays as it is.
    """
    *about, original = msgspec.structs.astuple(event)
    columns = [[getattr(each, name) for each in fresh] for name in Fresh.__struct_fields__]
    rows = await connection.fetch(
        _RECORD, *about, lease, *columns, original.message_id, original.headers, original.body
    )
    if not rows:
        return None
    causes = {row["id"]: row["cause"] for row in rows}
    return {
        each.id: Claim(each.attempt_id, 0, None, spent=False, suppressed=causes[each.id])
        for each in fresh
        if each.attempt_id is not None
    }


async def claim(
    connection: Connection, notification: Recorded, *, attempt_id: UUID, lease: float, last: bool
) -> Claim | None:
    """Opens an attempt to deliver a notification and keeps everybody else off it for `lease` seconds.

    None when it is settled, rests, is another's, or was tried since it was read.
    """
    row = await connection.fetchrow(
        _CLAIM, notification.id, attempt_id, notification.attempt_id, lease, last, notification.channel,
        notification.recipient,
    )  # fmt: skip
    if row is None:
        return None
    return Claim(attempt_id, row["number"], row["since"], row["spent"], row["suppressed"])


async def finish(connection: Connection, notification_id: UUID, *, attempt_id: UUID, ending: Ending) -> bool:
    """Ends an attempt and moves its notification; answers whether it moved.

    It does not when a later attempt has taken over, unless this one sent what no other has. What it sent besides
    another has the code `doubled`.
    """
    columns = msgspec.structs.astuple(ending)
    return rows_changed(await connection.execute(_FINISH, notification_id, attempt_id, *columns)) == 1


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


async def stretch(
    connection: Connection, chosen: Filter, *, behind: Position | None, limit: int
) -> tuple[list[NotificationSummary], Position | None]:
    """The rows behind a position, newest first, and the position of the last one when there are more.

    Raises:
        Problem: of kind invalid, when the position is none.
    """
    wanted = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
    statement = _stretch_statement(tuple(wanted), begun=behind is not None)
    rows = await connection.fetch(statement, limit + 1, *wanted.values(), *bounds(behind, instant))
    shown = rows[:limit]
    last = Position(shown[-1]["created_at"].isoformat(), shown[-1]["id"]) if len(rows) > limit else None
    return [_answer(row, NotificationSummary) for row in shown], last


def _recorded(row: Row) -> Recorded:
    return Recorded(
        id=row["id"],
        channel=ChannelName(row["channel"]),
        recipient=row["recipient"],
        subject=row["subject"],
        body=row["body"],
        text=row["text"],
        status=DeliveryStatus(row["status"]),
        attempt_id=row["attempt_id"],
        exhausted=row["exhausted"],
        in_doubt=row["in_doubt"],
        tries=row["tries"],
        due_in=row["due_in"],
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
