"""The statements about what providers report, and about whom nothing is sent to any more."""

from typing import Final
from uuid import UUID

import msgspec

from shopflow.kit.postgres import Connection, rows_changed
from shopflow.notifications.notification import ChannelName
from shopflow.notifications.receipt import RANKS, Receipt, Suppression

# Who lifts a suppression by hand must not see it back by a callback that is only repeated: a report that changes
# nothing suppresses nobody.
_RECORD: Final = """
WITH about AS (
    SELECT id, recipient, status FROM notifications
    WHERE channel = $1::text AND (id = $2::uuid OR ($2 IS NULL AND provider_ref = $3::text))
), receipt AS (
    INSERT INTO receipts (notification_id, provider_ref, state, rank, code)
    SELECT id, $3, $4::text, $5::smallint, $6::text FROM about
    ON CONFLICT (notification_id, provider_ref) DO UPDATE
    SET state = excluded.state, rank = excluded.rank, code = excluded.code, reported_at = clock_timestamp()
    WHERE receipts.rank < excluded.rank
    RETURNING notification_id
), suppression AS (
    INSERT INTO suppressions (channel, recipient, cause)
    SELECT $1, recipient, $7::text FROM about JOIN receipt ON notification_id = id WHERE $7 IS NOT NULL
    ON CONFLICT (channel, recipient) DO NOTHING
)
SELECT about.id, about.status <> 'sent' AS unsettled, receipt.notification_id IS NOT NULL AS moved
FROM about LEFT JOIN receipt ON notification_id = id
LIMIT 1
"""

_HELD: Final = "SELECT FROM deliveries WHERE notification_id = $1 FOR UPDATE"

_ADOPT: Final = """
WITH doubtful AS (
    SELECT id FROM notifications
    WHERE id = $1 AND status <> 'sent' AND EXISTS (
        SELECT FROM attempts
        WHERE notification_id = $1 AND (outcome IS NULL OR outcome = 'in_doubt')
    )
), taken AS (
    UPDATE deliveries SET attempt_id = $2, free_at = 'infinity', exhausted = false
    FROM doubtful WHERE notification_id = doubtful.id
), attempt AS (
    INSERT INTO attempts (id, notification_id, last, ended_at, outcome, provider_ref, reason)
    SELECT $2::uuid, id, false, clock_timestamp(), 'adopted', $3::text, 'reported by the provider' FROM doubtful
)
UPDATE notifications SET status = 'sent', provider_ref = $3, sent_at = clock_timestamp(), error_message = NULL
FROM doubtful WHERE notifications.id = doubtful.id
"""

_SUPPRESS: Final = """
INSERT INTO suppressions (channel, recipient, cause) VALUES ($1, $2, $3) ON CONFLICT (channel, recipient) DO NOTHING
"""

_LIFT: Final = "DELETE FROM suppressions WHERE channel = $1 AND recipient = $2 AND cause = $3"


class Noted(msgspec.Struct, frozen=True):
    """The notification that a receipt is about, whether it is not sent as far as we know, and whether that is news."""

    notification_id: UUID
    unsettled: bool
    moved: bool


async def record(connection: Connection, receipt: Receipt) -> Noted | None:
    """Keeps what a provider reports, and suppresses the recipient where it says so; None about a message not ours."""
    row = await connection.fetchrow(
        _RECORD, receipt.channel, receipt.notification_id, receipt.provider_ref, receipt.state, RANKS[receipt.state],
        receipt.code, receipt.suppress,
    )  # fmt: skip
    return None if row is None else Noted(row["id"], row["unsettled"], row["moved"])


async def adopt(transaction: Connection, notification_id: UUID, *, attempt_id: UUID, provider_ref: str) -> bool:
    """Takes a notification in doubt for sent, since the provider has it; answers whether it was in doubt.

    Whoever tries to send it meanwhile is overtaken. The claim's row is locked first, as whoever ends an attempt does.
    """
    await transaction.execute(_HELD, notification_id)
    return rows_changed(await transaction.execute(_ADOPT, notification_id, attempt_id, provider_ref)) == 1


async def suppress(connection: Connection, channel: ChannelName, recipient: str, cause: Suppression) -> None:
    """Sends nothing to this recipient on this channel any more; the first cause stays."""
    await connection.execute(_SUPPRESS, channel, recipient, cause)


async def lift(connection: Connection, channel: ChannelName, recipient: str, cause: Suppression) -> None:
    """Writes to somebody again who was not written to for this cause."""
    await connection.execute(_LIFT, channel, recipient, cause)
