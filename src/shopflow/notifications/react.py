"""What an event leads to: read it, fetch order and profile, render, record, deliver on every channel (PRD 5.1, 5.2).

Recording comes before sending (R49): whoever handles the event again finds the rows and sends only what is unfinished.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol
from uuid import UUID

from shopflow.clients.auth import AuthClient
from shopflow.clients.orders import OrdersClient
from shopflow.contracts.events import PAYLOADS, Envelope, EventType, Payload
from shopflow.contracts.identity import Profile
from shopflow.contracts.orders import Order
from shopflow.kit import logs
from shopflow.kit.consumer import Done, Message, Park, Retry, Verdict, Wait
from shopflow.kit.decoding import Decoder
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem
from shopflow.notifications import store, unfinished
from shopflow.notifications.message import Message as Rendered
from shopflow.notifications.message import Renderer
from shopflow.notifications.notification import ChannelName, Progress, Standing, notification_id
from shopflow.notifications.original import original
from shopflow.notifications.store import Event, Fresh, Received, Recorded

MAX_EVENT: Final = 1024 * 1024
"""Bytes of an event that is read at all: ours have less than a thousand (E-9)."""

_MAJOR: Final = "1."


class Deliverer(Protocol):
    """Whoever records and delivers notifications."""

    def deliver_each(self, notifications: Sequence[Recorded]) -> Awaitable[list[Standing]]: ...

    def record_and_deliver(self, event: Event, fresh: Sequence[Fresh]) -> Awaitable[list[Standing] | None]: ...


class React:
    """Handles the events of orders.

    Args:
        database: where events and notifications are recorded.
        auth: knows the user.
        orders: knows the order.
        renderer: puts the message into words.
        deliverer: sends what is recorded.
        metrics: a count of events that come again with another content.
    """

    def __init__(
        self,
        database: Database,
        *,
        auth: AuthClient,
        orders: OrdersClient,
        renderer: Renderer,
        deliverer: Deliverer,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._auth = auth
        self._orders = orders
        self._renderer = renderer
        self._deliverer = deliverer
        self._envelope = Decoder(Envelope)
        self._payloads: dict[EventType, Decoder[Any]] = {
            kind: Decoder(type_, strict=False)  # as a part of the envelope it has been read strictly
            for kind, type_ in PAYLOADS.items()
        }
        self._log = logs.logger("react")
        self._contradictions = metrics.counter(
            "events_contradicting_total", "Events that came again under the same id with another content."
        )

    async def handle(self, expected: EventType, message: Message) -> Verdict:
        """Handles one event.

        Args:
            expected: the event type that belongs to the queue.
            message: the event as it came.

        Raises:
            Problem: when a neighbour or the own database cannot answer; the consumer knows what each kind means.
        """
        try:
            envelope, payload = self._read(expected, message.body)
        except Problem as problem:
            return Park(f"unreadable: {problem.code}")
        event_id, digest = UUID(envelope.event_id), sha256(message.body).digest()
        on_record = await store.received(self._database, event_id)
        if on_record is None:
            verdict = await self._first(expected, event_id, payload, message, digest=digest)
            if verdict is not None:
                return verdict
            on_record = await store.received(self._database, event_id)  # somebody else was faster
        return await self._again(event_id, on_record, message, digest=digest)

    async def _again(self, event_id: UUID, on_record: Received | None, message: Message, *, digest: bytes) -> Verdict:
        """Delivers what is on record side by side; what an event says when it comes again is not looked at (E-3)."""
        if on_record is None:
            return Retry("record_not_found")
        if on_record.digest != digest:
            self._contradictions.inc()
            self._log.warning("event_contradicts_record", event_id=str(event_id))
        verdict = _verdict(await self._deliverer.deliver_each(on_record.notifications))
        if isinstance(verdict, Wait) and on_record.digest == digest and not await self._goes_on(event_id, message):
            return Done()
        return verdict

    async def _goes_on(self, event_id: UUID, message: Message) -> bool:
        """Whether this copy has to come again; not when a newer one does, which the sweeper or an operator made."""
        kept = original(message.body, message.headers, message_id=message.message_id)
        return await unfinished.goes_on(self._database, event_id, kept)

    def _read(self, expected: EventType, body: bytes) -> tuple[Envelope, Payload]:
        if len(body) > MAX_EVENT:
            raise Problem(Kind.TOO_LARGE, "event-too-large", "No event is that large.")
        envelope = self._envelope.decode(body)
        if not envelope.version.startswith(_MAJOR):
            raise Problem(Kind.INVALID, "unknown-version", "Only versions 1.x are understood.")
        if envelope.event_type != expected:
            raise Problem(Kind.INVALID, "unexpected-type", "The event's type does not belong on this queue.")
        payload: Payload = self._payloads[expected].decode(bytes(envelope.payload))
        return envelope, payload

    async def _first(
        self, kind: EventType, event_id: UUID, payload: Payload, message: Message, *, digest: bytes
    ) -> Verdict | None:
        """Fetches, renders, records and delivers; None when the event has come on record meanwhile."""
        order_id, user_id = UUID(payload.order_id), UUID(payload.user_id)
        order, profile = await self._order_and_profile(order_id, user_id)
        if order is None:
            return Park("order_not_found")
        if UUID(order.user_id) != user_id:
            return Park("not_the_orders_owner")
        fresh: Sequence[Fresh] = ()
        if profile is not None:
            fresh = _notifications(event_id, self._renderer.render(payload, order, profile), profile)
        outcome = "notified" if fresh else "no_recipient"
        kept = original(message.body, message.headers, message_id=message.message_id)
        standings = await self._deliverer.record_and_deliver(
            Event(event_id, kind, order_id, user_id, outcome, digest, kept), fresh
        )
        return None if standings is None else _verdict(standings)

    async def _order_and_profile(self, order_id: UUID, user_id: UUID) -> tuple[Order | None, Profile | None]:
        order, profile = await asyncio.gather(
            self._orders.order(order_id), self._auth.profile(user_id), return_exceptions=True
        )
        if isinstance(order, BaseException):
            raise order
        if isinstance(profile, BaseException):
            raise profile
        return order, profile


def _notifications(event_id: UUID, message: Rendered, profile: Profile) -> list[Fresh]:
    """An e-mail always, an SMS where there is a phone number (PRD 5.1)."""
    email = Fresh(
        id=notification_id(event_id, ChannelName.EMAIL),
        channel=ChannelName.EMAIL,
        type=message.type,
        recipient=profile.email,
        subject=message.subject,
        body=message.html,
        text=message.text,
    )
    if profile.phone is None:
        return [email]
    sms = Fresh(
        id=notification_id(event_id, ChannelName.SMS),
        channel=ChannelName.SMS,
        type=message.type,
        recipient=profile.phone,
        subject=None,
        body=message.sms,
        text=None,
    )
    return [email, sms]


def _verdict(standings: Sequence[Standing]) -> Verdict:
    """The message is done when every channel is; until then it comes back when the first of them is due."""
    reached = {each.progress for each in standings}
    after = min((each.after for each in standings if each.after is not None), default=None)
    if Progress.RETRY in reached:
        return Retry("provider_failed", after)
    if Progress.WAIT in reached:
        return Wait("not_deliverable_now", after)
    if Progress.EXHAUSTED in reached:
        return Park("provider_failed", max(each.retries for each in standings))
    return Done()
