"""Delivering one recorded notification: claim it, send it once, record what came of it.

Owns the claim and the attempt rows; decides what an outcome of a channel means for the notification. It never sends
what another process holds, nor what is settled (D1).
"""

from collections.abc import Mapping
from typing import Final, assert_never
from uuid import uuid4

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.notifications import store
from shopflow.notifications.channels import (
    Accepted,
    Channel,
    Failed,
    InDoubt,
    Misconfigured,
    Outcome,
    Outgoing,
    Rejected,
)
from shopflow.notifications.notification import (
    LONGEST_REFERENCE,
    ChannelName,
    DeliveryStatus,
    Progress,
    error_message,
)
from shopflow.notifications.store import Recorded

LEASE: Final = 30.0
"""Seconds a claim holds: longer than any provider call, so that a live process is never overtaken."""

_MAYBE_SENT: Final = "it may have reached the customer, so it is not sent again"


class Deliver:
    """Sends recorded notifications.

    Args:
        database: where they are recorded.
        channels: the way out of each channel.
        metrics: counts of outcomes by channel.
    """

    def __init__(self, database: Database, channels: Mapping[ChannelName, Channel], *, metrics: Metrics) -> None:
        self._database = database
        self._channels = channels
        self._owner = uuid4()
        self._log = logs.logger("deliver")
        self._outcomes = metrics.counter(
            "deliveries_total", "Attempts to deliver by what came of them.", ("channel", "outcome")
        )
        self._seconds = metrics.histogram("provider_seconds", "Time one provider call takes.", ("channel",))

    async def deliver(self, notification: Recorded, *, last: bool) -> Progress:
        """Tries once to deliver a notification.

        Args:
            notification: as recorded.
            last: no retry is left, so a passing fault is now the end.
        """
        if notification.status is not DeliveryStatus.QUEUED:
            return Progress.SETTLED
        claimed = await store.claim(self._database, notification.id, owner=self._owner, lease=LEASE)
        if claimed is None:
            settled = await store.status(self._database, notification.id) is not DeliveryStatus.QUEUED
            return Progress.SETTLED if settled else Progress.WAIT
        attempt, in_doubt = claimed
        outcome = await self._send(notification, in_doubt=in_doubt)
        progress = _progress(notification.channel, outcome, last=last)
        await self._finish(notification, attempt, outcome, progress)
        return progress

    async def _send(self, notification: Recorded, *, in_doubt: bool) -> Outcome:
        if in_doubt and notification.channel is ChannelName.SMS:
            return InDoubt("an earlier attempt was cut off")
        with self._seconds.labels(notification.channel).time():
            return await self._channels[notification.channel].send(_outgoing(notification))

    async def _finish(self, notification: Recorded, attempt: int, outcome: Outcome, progress: Progress) -> None:
        kind, code, reference, reason = _described(outcome)
        status = _status(outcome, progress)
        self._outcomes.labels(notification.channel, kind).inc()
        self._log.info(
            "delivered" if status is DeliveryStatus.SENT else "not_delivered",
            notification_id=str(notification.id), channel=notification.channel, outcome=kind, code=code,
        )  # fmt: skip
        error = _error(outcome, code, reason) if status is DeliveryStatus.FAILED else None
        await store.finish(
            self._database,
            notification.id,
            attempt=attempt,
            owner=self._owner,
            outcome=kind,
            code=code,
            provider_ref=reference,
            reason=reason,
            status=status,
            error=error,
        )


def _error(outcome: Outcome, code: str | None, reason: str | None) -> str:
    doubt = f"; {_MAYBE_SENT}" if isinstance(outcome, InDoubt) else ""
    return error_message(code, f"{reason}{doubt}")


def _outgoing(notification: Recorded) -> Outgoing:
    if notification.channel is ChannelName.SMS:
        return Outgoing(notification.id, notification.recipient, notification.body)
    return Outgoing(
        notification.id,
        notification.recipient,
        notification.text or "",
        subject=notification.subject,
        html=notification.body,
    )


def _progress(channel: ChannelName, outcome: Outcome, *, last: bool) -> Progress:
    """What an outcome means for what happens next (D2, D4, D8)."""
    match outcome:
        case Accepted() | Rejected():
            return Progress.SETTLED
        case Misconfigured() | Failed(throttled=True):
            return Progress.WAIT
        case InDoubt() if channel is ChannelName.SMS:
            return Progress.SETTLED  # a second SMS is the greater harm; a second e-mail is the lesser one (D4)
        case Failed() | InDoubt():
            return Progress.EXHAUSTED if last else Progress.RETRY
        case _:
            assert_never(outcome)


def _status(outcome: Outcome, progress: Progress) -> DeliveryStatus:
    if isinstance(outcome, Accepted):
        return DeliveryStatus.SENT
    return DeliveryStatus.QUEUED if progress in {Progress.RETRY, Progress.WAIT} else DeliveryStatus.FAILED


def _described(outcome: Outcome) -> tuple[str, str | None, str | None, str | None]:
    """An outcome as the attempt's columns: outcome, code, provider_ref, reason."""
    match outcome:
        case Accepted(provider_ref):
            return "accepted", None, provider_ref[:LONGEST_REFERENCE], None
        case Rejected(kind, code, reason):
            return "rejected", code, None, f"{kind} refused: {reason}"
        case Failed(code, reason):
            return "failed", code, None, reason
        case Misconfigured(code, reason):
            return "misconfigured", code, None, reason
        case InDoubt(reason):
            return "in_doubt", None, None, reason
        case _:
            assert_never(outcome)
