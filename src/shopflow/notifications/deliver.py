"""Delivering one recorded notification: claim it, send it once, record what came of it.

Owns the claim and the attempt rows; decides what an outcome of a channel means for the notification. It never sends
what another process holds, nor what is settled (D1).
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never
from uuid import uuid4

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.notifications import store
from shopflow.notifications.channels import (
    Accepted,
    Adopted,
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
from shopflow.notifications.store import Claim, Ending, Recorded

LEASE: Final = 30.0
"""Seconds a claim holds: longer than all calls of one attempt, so that a live process is never overtaken."""

LISTED_AFTER: Final = 30.0
"""Seconds from an attempt's beginning after which the SMS provider's list is sure to show its message (D4)."""

Result: TypeAlias = Outcome | Adopted


class Deliver:
    """Sends recorded notifications.

    Args:
        database: where they are recorded.
        channels: the way out of each channel.
        metrics: counts of outcomes by channel.
        listed_after: seconds that an SMS in doubt rests before the provider's list is asked for it.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[ChannelName, Channel],
        *,
        metrics: Metrics,
        listed_after: float = LISTED_AFTER,
    ) -> None:
        self._database = database
        self._channels = channels
        self._listed_after = listed_after
        self._log = logs.logger("deliver")
        self._outcomes = metrics.counter(
            "deliveries_total", "Attempts to deliver by what came of them.", ("channel", "outcome")
        )
        self._seconds = metrics.histogram("provider_seconds", "Time an attempt spends at a provider.", ("channel",))

    async def deliver(self, notification: Recorded, *, last: bool) -> Progress:
        """Tries once to deliver a notification.

        Args:
            notification: as recorded.
            last: no retry is left, so a passing fault is now the end.
        """
        if notification.status is not DeliveryStatus.QUEUED:
            return Progress.EXHAUSTED if notification.exhausted else Progress.SETTLED
        claim = await store.claim(self._database, notification, attempt_id=uuid4(), lease=LEASE, last=last)
        if claim is None:
            settled = await store.status(self._database, notification.id) is not DeliveryStatus.QUEUED
            return Progress.SETTLED if settled else Progress.WAIT
        with self._seconds.labels(notification.channel).time():
            result = await self._attempt(notification, claim)
        progress = _progress(notification.channel, result, last=last)
        await self._finish(notification, claim, result, progress)
        return progress

    async def _attempt(self, notification: Recorded, claim: Claim) -> Result:
        """Sends, unless an earlier attempt in doubt turns out to have gone through."""
        channel, outgoing = self._channels[notification.channel], _outgoing(notification)
        if claim.doubtful_since is not None:
            sighting = await channel.find(outgoing, since=claim.doubtful_since)
            if sighting is not None:
                return sighting
            if claim.spent:
                return Failed("not_listed", "an attempt without an answer, of which the provider's list knows nothing")
        return await channel.send(outgoing)

    async def _finish(self, notification: Recorded, claim: Claim, result: Result, progress: Progress) -> None:
        ending = _ending(result, progress, rest=self._rest(notification.channel, result))
        moved = await store.finish(self._database, notification.id, attempt_id=claim.attempt_id, ending=ending)
        self._outcomes.labels(notification.channel, ending.outcome).inc()
        self._log.info(
            "delivered" if ending.status is DeliveryStatus.SENT else "not_delivered",
            notification_id=str(notification.id), channel=notification.channel, outcome=ending.outcome,
            code=ending.code, overtaken=not moved,
        )  # fmt: skip

    def _rest(self, channel: ChannelName, result: Result) -> float:
        return self._listed_after if isinstance(result, InDoubt) and channel is ChannelName.SMS else 0


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


def _progress(channel: ChannelName, result: Result, *, last: bool) -> Progress:
    """What a result means for what happens next (D2, D4, D8)."""
    match result:
        case Accepted() | Adopted() | Rejected():
            return Progress.SETTLED
        case Misconfigured() | Failed(throttled=True):
            return Progress.WAIT
        case InDoubt() if last and channel is ChannelName.SMS:
            return Progress.WAIT  # the provider's list has the last word
        case Failed() | InDoubt():
            return Progress.EXHAUSTED if last else Progress.RETRY
        case _:
            assert_never(result)


def _ending(result: Result, progress: Progress, *, rest: float) -> Ending:
    outcome, code, reference, reason = _described(result)
    status = _status(result, progress)
    return Ending(
        outcome=outcome,
        code=code,
        provider_ref=reference,
        reason=reason,
        status=status,
        error=error_message(code, reason or "") if status is DeliveryStatus.FAILED else None,
        exhausted=progress is Progress.EXHAUSTED,
        rest=rest,
    )


def _status(result: Result, progress: Progress) -> DeliveryStatus:
    if isinstance(result, Accepted | Adopted):
        return DeliveryStatus.SENT
    return DeliveryStatus.QUEUED if progress in {Progress.RETRY, Progress.WAIT} else DeliveryStatus.FAILED


def _described(result: Result) -> tuple[str, str | None, str | None, str | None]:
    """A result as the attempt's columns: outcome, code, provider_ref, reason."""
    match result:
        case Accepted(provider_ref):
            return "accepted", None, provider_ref[:LONGEST_REFERENCE], None
        case Adopted(provider_ref):
            return "adopted", None, provider_ref[:LONGEST_REFERENCE], "found in the provider's list"
        case Rejected(kind, code, reason):
            return "rejected", code, None, f"{kind} refused: {reason}"
        case Failed(code, reason):
            return "failed", code, None, reason
        case Misconfigured(code, reason):
            return "misconfigured", code, None, reason
        case InDoubt(reason):
            return "in_doubt", None, None, f"it may have been sent: {reason}"
        case _:
            assert_never(result)
