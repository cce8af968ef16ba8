"""Delivering one recorded notification: claim it, send it once, record what came of it.

Owns the claim, the attempt rows and the ladder of retries, which each notification has for itself; what an outcome
means stands in `result`. It never sends what another process holds, nor what is settled (D1) or not due yet, nor
through a channel that rests (R55).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

import msgspec

from shopflow.contracts.topology import RETRY_DELAYS
from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.notifications import store
from shopflow.notifications.channels import ATTEMPT_SECONDS, Channel, Failed, InDoubt, Outgoing
from shopflow.notifications.channels.gate import Gate, Permit
from shopflow.notifications.notification import ChannelName, DeliveryStatus, Progress, Standing, error_message
from shopflow.notifications.result import (
    GivenUp,
    Late,
    Result,
    Suppressed,
    Unread,
    counts,
    described,
    progress_after,
    status_after,
)
from shopflow.notifications.store import Claim, Ending, Event, Fresh, Recorded

LEASE: Final = 30.0
"""Seconds a claim holds: longer than all calls of one attempt, so that a live process is never overtaken."""

LISTED_AFTER: Final = 30.0
"""Seconds from an attempt's beginning after which the SMS provider's list is sure to show its message (D4)."""

MOST_EMAILS: Final = 2
"""E-mails of one notification that may reach the customer because nobody knows whether the first one did (D4)."""

_SURELY_OURS: Final = LEASE - ATTEMPT_SECONDS - 2.0
"""Seconds from before the claim within which a request still ends before the claim does."""


class Deliver:
    """Sends recorded notifications.

    Args:
        database: where they are recorded.
        channels: the way out of each channel.
        metrics: counts of outcomes by channel.
        delays: seconds before each retry of a notification.
        gates: whether each channel may be used; without, one each that starts open.
        listed_after: seconds that an SMS in doubt rests before the provider's list is asked for it.
        kept: channels on which a message in doubt is never sent again, whatever that means for its customer.
        clock: seconds that never go back, nor stand still while the process does.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[ChannelName, Channel],
        *,
        metrics: Metrics,
        delays: Sequence[float] = RETRY_DELAYS,
        gates: Mapping[ChannelName, Gate] | None = None,
        listed_after: float = LISTED_AFTER,
        kept: frozenset[ChannelName] = frozenset(),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._channels = channels
        self._delays = tuple(delays)
        self._gates = gates or {name: Gate(name, metrics=metrics) for name in channels}
        self._listed_after = listed_after
        self._kept = kept
        self._most_emails = 1 if ChannelName.EMAIL in kept else MOST_EMAILS
        self._now = clock
        self._log = logs.logger("deliver")
        self._outcomes = metrics.counter(
            "deliveries_total", "Attempts to deliver by what came of them.", ("channel", "outcome")
        )
        self._seconds = metrics.histogram("provider_seconds", "Time an attempt spends at a provider.", ("channel",))

    async def deliver(self, notification: Recorded) -> Standing:
        """Tries once to deliver a notification, if that is due.

        Args:
            notification: as recorded, just now.
        """
        if notification.status is not DeliveryStatus.QUEUED:
            progress = Progress.EXHAUSTED if notification.exhausted else Progress.SETTLED
            return Standing(progress, retries=_retries(notification.tries))
        if notification.due_in > 0:
            return Standing(Progress.WAIT, after=notification.due_in)
        gate = self._gates[notification.channel]
        permit = gate.enter(self._now(), risky=notification.in_doubt and notification.channel is ChannelName.EMAIL)
        if permit is None:
            return Standing(Progress.WAIT)
        try:
            return await self._permitted(notification, gate, permit)
        finally:
            gate.leave(permit)

    async def deliver_each(self, notifications: Sequence[Recorded]) -> list[Standing]:
        """Tries once to deliver each of them that is due, side by side."""
        return await _side_by_side(self.deliver(each) for each in notifications)

    async def record_and_deliver(self, event: Event, fresh: Sequence[Fresh]) -> list[Standing] | None:
        """Records an event that nobody knows yet and tries once to deliver what it leads to, side by side.

        What may be sent at once is claimed by the very statement that records it.

        Args:
            event: what is recorded.
            fresh: its notifications.

        Returns:
            None, when the event was on record already: then nothing was done.
        """
        permits = {each.id: self._gates[each.channel].enter(self._now()) for each in fresh}
        surely_ours_until = self._now() + _SURELY_OURS
        claims = None
        try:
            claiming = [_claiming(each, permits[each.id]) for each in fresh]
            claims = await store.record(self._database, event, claiming, lease=LEASE)
        finally:
            if claims is None:
                self._leave(fresh, permits)
        if claims is None:
            return None
        return await _side_by_side(
            self._first(each, permits[each.id], claims.get(each.id), by=surely_ours_until) for each in fresh
        )

    def _leave(self, fresh: Sequence[Fresh], permits: Mapping[UUID, Permit | None]) -> None:
        for each in fresh:
            if (permit := permits[each.id]) is not None:
                self._gates[each.channel].leave(permit)

    async def _first(self, fresh: Fresh, permit: Permit | None, claim: Claim | None, *, by: float) -> Standing:
        gate, notification = self._gates[fresh.channel], _recorded(fresh)
        if permit is None:
            return Standing(Progress.WAIT)
        try:
            if claim is None:
                return await self._permitted(notification, gate, permit)
            return await self._claimed(notification, gate, permit, claim, by=by)
        finally:
            gate.leave(permit)

    async def _permitted(self, notification: Recorded, gate: Gate, permit: Permit) -> Standing:
        if permit.delay:
            await asyncio.sleep(permit.delay)
            if not gate.holds(permit):
                return Standing(Progress.WAIT)
        surely_ours_until = self._now() + _SURELY_OURS
        last = self._is_last(notification, permit)
        claim = await store.claim(self._database, notification, attempt_id=uuid4(), lease=LEASE, last=last)
        if claim is None:
            settled = await store.status(self._database, notification.id) is not DeliveryStatus.QUEUED
            return Standing(Progress.SETTLED if settled else Progress.WAIT)
        return await self._claimed(notification, gate, permit, claim, by=surely_ours_until)

    def _is_last(self, notification: Recorded, permit: Permit) -> bool:
        return notification.tries >= len(self._delays) and not permit.probe

    async def _claimed(
        self, notification: Recorded, gate: Gate, permit: Permit, claim: Claim, *, by: float
    ) -> Standing:
        with self._seconds.labels(notification.channel).time():
            result = await self._attempt(notification, claim, by=by)
        if not isinstance(result, Suppressed | Late | GivenUp):
            gate.heard(permit, result.trouble if isinstance(result, Unread) else result, self._now())
        enough, last = claim.doubts + 1 >= self._most_emails, self._is_last(notification, permit)
        progress = progress_after(notification.channel, result, enough=enough, last=last, probe=permit.probe)
        ending = self._ending(notification, result, progress, counted=counts(result) and not permit.probe)
        await self._finish(notification, claim, ending)
        return Standing(progress, max(ending.rest, ending.after) or None, _retries(notification.tries + ending.counted))

    async def _attempt(self, notification: Recorded, claim: Claim, *, by: float) -> Result:
        """Sends, unless nothing may be sent, or an earlier attempt in doubt turns out to have gone through."""
        channel, outgoing = self._channels[notification.channel], _outgoing(notification)
        if claim.suppressed is not None:
            return Suppressed(claim.suppressed)
        if notification.channel is ChannelName.EMAIL and claim.doubts >= self._most_emails:
            return GivenUp("in_doubt", f"{claim.doubts} e-mails may have been sent, of which nobody knows")
        if claim.doubtful_since is not None:
            sighting = await channel.find(outgoing, since=claim.doubtful_since)
            if sighting is not None:
                return Unread(sighting) if isinstance(sighting, Failed) else sighting
            if claim.spent or notification.channel in self._kept:
                return GivenUp("not_listed", "an attempt without an answer, of which the provider's list knows nothing")
        return await channel.send(outgoing) if self._now() < by else Late()

    async def _finish(self, notification: Recorded, claim: Claim, ending: Ending) -> None:
        moved = await store.finish(self._database, notification.id, attempt_id=claim.attempt_id, ending=ending)
        self._outcomes.labels(notification.channel, ending.outcome).inc()
        self._log.info(
            "delivered" if ending.status is DeliveryStatus.SENT else "not_delivered",
            notification_id=str(notification.id), channel=notification.channel, outcome=ending.outcome,
            code=ending.code, overtaken=not moved,
        )  # fmt: skip

    def _ending(self, notification: Recorded, result: Result, progress: Progress, *, counted: bool) -> Ending:
        outcome, code, reference, reason = described(result)
        status = status_after(result, progress)
        in_doubt = isinstance(result, InDoubt) and notification.channel is ChannelName.SMS
        return Ending(
            outcome=outcome,
            code=code,
            provider_ref=reference,
            reason=reason,
            status=status,
            error=error_message(code, reason or "") if status is DeliveryStatus.FAILED else None,
            exhausted=progress is Progress.EXHAUSTED,
            rest=self._listed_after if in_doubt else 0,
            after=self._delays[notification.tries] if progress is Progress.RETRY else 0,
            counted=counted,
        )


async def _side_by_side(tries: Iterable[Awaitable[Standing]]) -> list[Standing]:
    """Raises only after all have ended: one channel's trouble must not leave the other's send running unattended."""
    results = await asyncio.gather(*tries, return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return [each for each in results if not isinstance(each, BaseException)]


def _claiming(fresh: Fresh, permit: Permit | None) -> Fresh:
    """Claimed at once is only what need not wait for its pace: a claim must not run out while nothing is sent."""
    at_once = permit is not None and not permit.delay
    return msgspec.structs.replace(fresh, attempt_id=uuid4()) if at_once else fresh


def _recorded(fresh: Fresh) -> Recorded:
    return Recorded(
        id=fresh.id,
        channel=fresh.channel,
        recipient=fresh.recipient,
        subject=fresh.subject,
        body=fresh.body,
        text=fresh.text,
        status=DeliveryStatus.QUEUED,
        attempt_id=None,
        exhausted=False,
    )


def _retries(tries: int) -> int:
    return max(tries - 1, 0)


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
