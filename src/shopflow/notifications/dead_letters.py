"""The statements about parked messages and about what was done with them. Each constant is named for what it does."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from shopflow.contracts.fields import instant, timestamp, timestamp_or_none
from shopflow.kit.pages import Position, bounds
from shopflow.kit.postgres import Connection, Row
from shopflow.notifications.bodies import (
    DeadLetter,
    DeadLetterAction,
    DeadLetterDetail,
    DeadLetterPreview,
)
from shopflow.notifications.parking import AWAY, KNOWN_KEYS, LONGEST_SHOWN, Parked, State, readable, source_queue


class Filter(msgspec.Struct, frozen=True):
    """Which parked messages are meant; None lets everything through. Instants go from first to before."""

    state: str | None = None
    reason: str | None = None
    event_type: str | None = None
    order_id: UUID | None = None
    parked_from: datetime | None = None
    parked_before: datetime | None = None


class Replayable(msgspec.Struct, frozen=True):
    """A parked message on its way back. `times` says which parking of it this is, `copy` which copy of its event."""

    id: UUID
    routing_key: str
    message_id: str
    headers: bytes
    body: bytes
    times: int
    copy: int


class Away(msgspec.Struct, frozen=True):
    """A message that was parked because a neighbour was away, and whom it asked about what."""

    id: UUID
    message_id: str
    order_id: UUID
    user_id: UUID


MOST_PREVIEWED: Final = 100
"""Messages of which a dry run tells what they would send."""

_CONDITIONS: Final = {
    "state": "state = {}",
    "reason": "reason = {}",
    "event_type": "event_type = {}",
    "order_id": "order_id = {}",
    "parked_from": "parked_at >= {}",
    "parked_before": "parked_at < {}",
}

# The same message parked again is the same row, so that nothing grows: not when a copy came twice, not when what
# replays by itself fails for ever. Each time it has to rest longer before it may replay by itself.
_KEEP: Final = """
INSERT INTO dead_letters (id, routing_key, message_id, digest, reason, attempts, event_id, event_type, order_id,
                          user_id, headers, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT ON CONSTRAINT dead_letters_message DO UPDATE
SET state = 'open', parked_at = clock_timestamp(), reason = EXCLUDED.reason, attempts = EXCLUDED.attempts,
    headers = EXCLUDED.headers, times = dead_letters.times + 1,
    due_at = clock_timestamp() + make_interval(secs => least(60, power(2, least(dead_letters.times, 10))))
"""

_SHOWN: Final = """
id, parked_at, state, reason, attempts, times, routing_key, message_id, event_id, event_type, order_id, user_id,
octet_length(body) AS size
"""

_ONE: Final = f"SELECT {_SHOWN}, headers, substring(body FOR $2) AS body FROM dead_letters WHERE id = $1"  # noqa: S608

_ACTIONS: Final = """
SELECT at, action, actor, reason, confirmed_at FROM dead_letter_actions WHERE dead_letter_id = $1 ORDER BY at, id
"""

_PAGE: Final = f"""
WITH total AS (SELECT count(*) AS number FROM dead_letters WHERE {{matching}}),
page AS (
    SELECT {_SHOWN} FROM dead_letters WHERE {{matching}} ORDER BY parked_at DESC, id DESC LIMIT $1 OFFSET $2
)
SELECT total.number AS total_items, page.*
FROM total LEFT JOIN page ON true
ORDER BY page.parked_at DESC, page.id DESC
"""  # noqa: S608 - constants of this file

_STRETCH: Final = f"""
SELECT {_SHOWN} FROM dead_letters WHERE {{matching}} ORDER BY parked_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - constants of this file

_OLDEST: Final = """
WITH total AS (SELECT count(*) AS number FROM dead_letters WHERE {matching} AND routing_key = ANY($2::text[])),
page AS (
    SELECT id, message_id, parked_at FROM dead_letters
    WHERE {matching} AND routing_key = ANY($2::text[]) ORDER BY parked_at, id LIMIT $1
)
SELECT total.number AS total_items, page.* FROM total LEFT JOIN page ON true ORDER BY page.parked_at, page.id
"""

# What a replay would send: of an event on record the channels that are not done, of another whatever it leads to.
_PREVIEW: Final = """
SELECT letters.id, letters.event_id, letters.order_id, letters.reason, inbox.event_id IS NOT NULL AS on_record,
       coalesce(array_agg(notifications.channel::text ORDER BY notifications.channel)
                FILTER (WHERE notifications.status = 'queued' OR deliveries.exhausted), '{}') AS channels
FROM dead_letters AS letters
LEFT JOIN inbox ON inbox.event_id = letters.event_id AND inbox.digest = letters.digest
LEFT JOIN deliveries ON deliveries.event_id = inbox.event_id
LEFT JOIN notifications ON notifications.id = deliveries.notification_id
WHERE letters.id = ANY($1::uuid[])
GROUP BY letters.id, inbox.event_id
ORDER BY letters.parked_at, letters.id
"""

# Only channels that failed when no retry was left are opened again, with a fresh ladder: neither what was sent, nor
# what the provider refused for good. The digest keeps a message that merely names another's event from opening it.
_BEGIN: Final = """
WITH chosen AS (
    SELECT id, routing_key, message_id, headers, body, times, event_id, digest
    FROM dead_letters WHERE id = $1 AND routing_key = ANY($5::text[]) FOR UPDATE
), reopened AS (
    UPDATE deliveries SET exhausted = false, free_at = clock_timestamp(), tries = 0
    FROM chosen JOIN inbox ON inbox.event_id = chosen.event_id AND inbox.digest = chosen.digest
    WHERE deliveries.event_id = inbox.event_id AND deliveries.exhausted
    RETURNING deliveries.notification_id
), queued AS (
    UPDATE notifications SET status = 'queued', error_message = NULL
    FROM reopened WHERE id = reopened.notification_id AND status = 'failed'
), noted AS (
    INSERT INTO dead_letter_actions (id, dead_letter_id, action, actor, reason)
    SELECT $2, id, 'replay', $3, $4 FROM chosen
), kept AS (
    INSERT INTO unfinished (event_id, message_id, headers, body)
    SELECT inbox.event_id, message_id, headers, body
    FROM chosen JOIN inbox ON inbox.event_id = chosen.event_id AND inbox.digest = chosen.digest
    ON CONFLICT (event_id) DO UPDATE SET copies = unfinished.copies + 1, touched_at = clock_timestamp()
    RETURNING copies
)
SELECT id, routing_key, message_id, headers, body, times, coalesce((SELECT copies FROM kept), 0) AS copy FROM chosen
"""

# A message that was parked again meanwhile is open again: that must not be hidden.
_END: Final = """
WITH confirmed AS (UPDATE dead_letter_actions SET confirmed_at = clock_timestamp() WHERE id = $2)
UPDATE dead_letters SET state = 'replayed' WHERE id = $1 AND times = $3
"""

_DISCARD: Final = """
WITH discarded AS (
    UPDATE dead_letters SET state = 'discarded' WHERE id = $1 AND state = 'open' RETURNING id
), noted AS (
    INSERT INTO dead_letter_actions (id, dead_letter_id, action, actor, reason)
    SELECT $2, id, 'discard', $3, $4 FROM discarded
)
SELECT EXISTS (SELECT FROM discarded)
"""

_STATE: Final = "SELECT state FROM dead_letters WHERE id = $1"

_OPEN: Final = "SELECT count(*) FROM dead_letters WHERE state = 'open'"

_DUE: Final = f"""
UPDATE dead_letters SET due_at = clock_timestamp() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM dead_letters
    WHERE state = 'open' AND reason = '{AWAY}' AND due_at <= clock_timestamp()
      AND order_id IS NOT NULL AND user_id IS NOT NULL AND routing_key = ANY($3::text[])
    ORDER BY due_at LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, message_id, order_id, user_id
"""  # noqa: S608 - a constant


async def are_here(connection: Connection) -> bool:
    """Whether this database has the table at all."""
    return bool(await connection.fetchval("SELECT to_regclass('dead_letters') IS NOT NULL"))


async def keep(connection: Connection, parked: Parked) -> None:
    """Keeps a parked message; the same one again opens its row again."""
    told = parked.told
    await connection.execute(
        _KEEP, uuid4(), parked.routing_key, parked.message_id, parked.digest, parked.reason, parked.attempts,
        told.event_id, told.event_type, told.order_id, told.user_id, parked.headers, parked.body,
    )  # fmt: skip


async def page(connection: Connection, chosen: Filter, *, limit: int, offset: int) -> tuple[list[DeadLetter], int]:
    """One page of the messages that a filter lets through, those parked last first, and how many there are in all."""
    columns, values = _given(chosen)
    rows = await connection.fetch(_statement(_PAGE, columns, first=3), limit, offset, *values)
    return [DeadLetter(**_shown(row)) for row in rows if row["id"] is not None], rows[0]["total_items"]


async def stretch(
    connection: Connection, chosen: Filter, *, behind: Position | None, limit: int
) -> tuple[list[DeadLetter], Position | None]:
    """The rows behind a position, and the position of the last one when there are more.

    Raises:
        Problem: of kind invalid, when the position is none.
    """
    columns, values = _given(chosen)
    begin = bounds(behind, instant)
    statement = _statement(_STRETCH, columns, first=2, begun=bool(begin))
    rows = await connection.fetch(statement, limit + 1, *values, *begin)
    shown = rows[:limit]
    last = Position(shown[-1]["parked_at"].isoformat(), shown[-1]["id"]) if len(rows) > limit else None
    return [DeadLetter(**_shown(row)) for row in shown], last


async def detail(connection: Connection, dead_letter_id: UUID) -> DeadLetterDetail | None:
    """One message with its headers, its body and what was done about it; None when there is no such row."""
    row = await connection.fetchrow(_ONE, dead_letter_id, LONGEST_SHOWN)
    if row is None:
        return None
    actions = await connection.fetch(_ACTIONS, dead_letter_id)
    body, encoding = readable(row["body"], whole=row["size"] <= LONGEST_SHOWN)
    return DeadLetterDetail(
        **_shown(row),
        headers=msgspec.json.decode(row["headers"]),
        body=body,
        encoding=encoding,
        truncated=row["size"] > LONGEST_SHOWN,
        actions=[_action(each) for each in actions],
    )


async def oldest(connection: Connection, chosen: Filter, *, limit: int) -> tuple[list[tuple[UUID, str]], int]:
    """Ids and message ids of what can be replayed, those parked first first, and how many there are in all.

    That is what a filter lets through, is open, and came from a queue of ours.
    """
    columns, values = _given(msgspec.structs.replace(chosen, state=State.OPEN))
    rows = await connection.fetch(_statement(_OLDEST, columns, first=3), limit, KNOWN_KEYS, *values)
    return [(row["id"], row["message_id"]) for row in rows if row["id"] is not None], rows[0]["total_items"]


async def dry_run(connection: Connection, chosen: Filter) -> tuple[int, list[DeadLetterPreview]]:
    """How many messages a replay would take, and what the first of them would send."""
    found, matched = await oldest(connection, chosen, limit=MOST_PREVIEWED)
    return matched, await preview(connection, [each for each, _ in found])


async def preview(connection: Connection, ids: Sequence[UUID]) -> list[DeadLetterPreview]:
    """What replaying these would send."""
    return [
        DeadLetterPreview(
            id=str(row["id"]),
            event_id=_text(row["event_id"]),
            order_id=_text(row["order_id"]),
            reason=row["reason"],
            channels=list(row["channels"]) if row["on_record"] else None,
        )
        for row in await connection.fetch(_PREVIEW, ids)
    ]


async def begin_replay(
    connection: Connection, dead_letter_id: UUID, *, action_id: UUID, by: str, reason: str | None
) -> Replayable | None:
    """Notes a replay and opens what it may send, all or nothing; None when no such row came from a queue of ours."""
    row = await connection.fetchrow(_BEGIN, dead_letter_id, action_id, by, reason, KNOWN_KEYS)
    return None if row is None else Replayable(**row)


async def end_replay(connection: Connection, dead_letter_id: UUID, *, action_id: UUID, times: int) -> None:
    """Notes that the broker has the message."""
    await connection.execute(_END, dead_letter_id, action_id, times)


async def discard(
    connection: Connection, dead_letter_id: UUID, *, action_id: UUID, by: str, reason: str | None
) -> bool:
    """Discards a message that is open; answers whether it was."""
    return bool(await connection.fetchval(_DISCARD, dead_letter_id, action_id, by, reason))


async def state(connection: Connection, dead_letter_id: UUID) -> str | None:
    """Where a message stands; None when there is no such row."""
    found: str | None = await connection.fetchval(_STATE, dead_letter_id)
    return found


async def number_open(connection: Connection) -> int:
    """How many messages nobody has dealt with."""
    return int(await connection.fetchval(_OPEN))


async def due(connection: Connection, *, limit: int, rest: float) -> list[Away]:
    """Messages that a neighbour's absence put aside, rested; nobody else gets them for `rest` seconds."""
    return [Away(**row) for row in await connection.fetch(_DUE, limit, rest, KNOWN_KEYS)]


@cache
def _statement(template: str, columns: tuple[str, ...], *, first: int, begun: bool = False) -> str:
    """A statement narrowed by these columns: made once for each set. Values are bound from `first` on."""
    conditions = [_CONDITIONS[name].format(f"${number}") for number, name in enumerate(columns, start=first)]
    if begun:
        place = first + len(columns)
        conditions.append(f"(parked_at, id) < (${place}, ${place + 1})")
    return template.format(matching=" AND ".join(conditions) or "true")


def _given(chosen: Filter) -> tuple[tuple[str, ...], list[Any]]:
    wanted = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
    return tuple(wanted), list(wanted.values())


def _shown(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "parked_at": timestamp(row["parked_at"]),
        "state": row["state"],
        "reason": row["reason"],
        "attempts": row["attempts"],
        "times": row["times"],
        "queue": source_queue(row["routing_key"]),
        "routing_key": row["routing_key"],
        "message_id": row["message_id"],
        "event_id": _text(row["event_id"]),
        "event_type": row["event_type"],
        "order_id": _text(row["order_id"]),
        "user_id": _text(row["user_id"]),
        "size": row["size"],
    }


def _action(row: Row) -> DeadLetterAction:
    return DeadLetterAction(
        at=timestamp(row["at"]),
        action=row["action"],
        actor=row["actor"],
        reason=row["reason"],
        confirmed_at=timestamp_or_none(row["confirmed_at"]),
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
