"""The names on the broker: the only place where exchanges, queues, routing keys and delays are spelled (PRD 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shopflow.contracts.events import EventType

EVENTS_EXCHANGE: Final = "order.events"
DEAD_LETTER_EXCHANGE: Final = "order.events.dlx"
DEAD_LETTER_QUEUE: Final = "notifications.order.dead"
DEAD_LETTER_PATTERN: Final = "order.*.failed"

RETRY_DELAYS: Final = (1, 4, 16)
"""Seconds between the attempts (PRD 5.1): four attempts in all (R51)."""

PAUSE_DELAY: Final = 30
"""Seconds an uncounted copy waits while its channel is paused (R55)."""

DELIVERY_LIMIT: Final = 1_000_000
"""How often a broker may deliver one message. RabbitMQ 4 would drop it after the twentieth time, dead-lettered to
nowhere; here the consumer decides what is parked, and counts crashes itself. Every version since 3.8 takes this number,
only some take "no limit"."""


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """One queue of notification-service and what belongs to it."""

    event_type: EventType
    queue: str
    routing_key: str

    @property
    def dead_letter_key(self) -> str:
        """Under which key a message that failed for good is parked (R52)."""
        return f"{self.routing_key}.failed"

    def wait_queue(self, delay: float) -> str:
        """The queue in which a copy waits for `delay` seconds before it comes back to `queue` (R53)."""
        return f"{self.queue}.wait.{delay:g}s"


SUBSCRIPTIONS: Final = (
    Subscription(event_type=EventType.ORDER_CREATED, queue="notifications.order.created", routing_key="order.created"),
    Subscription(event_type=EventType.ORDER_SHIPPED, queue="notifications.order.shipped", routing_key="order.shipped"),
)

ROUTING_KEYS: Final = {each.event_type: each.routing_key for each in SUBSCRIPTIONS}


@dataclass(frozen=True)
class Exchange:
    """A durable topic exchange."""

    name: str


@dataclass(frozen=True)
class Queue:
    """A durable queue with its arguments."""

    name: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True)
class Binding:
    """What of an exchange flows into a queue."""

    queue: str
    exchange: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What has to be there before anybody publishes or consumes; declaring it again changes nothing."""

    exchanges: Sequence[Exchange]
    queues: Sequence[Queue]
    bindings: Sequence[Binding] = field(default=())


def events_topology(queue_type: str) -> Topology:
    """The exchange and the two queues: both services declare them, so that no event is ever unroutable (R60).

    Args:
        queue_type: `quorum` or `classic`; named, since brokers differ in their default (C16).
    """
    return Topology(
        exchanges=[Exchange(EVENTS_EXCHANGE)],
        queues=[Queue(each.queue, _kept_in(queue_type)) for each in SUBSCRIPTIONS],
        bindings=[Binding(each.queue, EVENTS_EXCHANGE, each.routing_key) for each in SUBSCRIPTIONS],
    )


def consumer_topology(queue_type: str, delays: Sequence[float] = RETRY_DELAYS) -> Topology:
    """Everything that notification-service needs: the events', a wait queue for each delay, the parking queue (R53)."""
    events = events_topology(queue_type)
    waits = [
        _wait_queue(each, delay, queue_type)
        for each in SUBSCRIPTIONS
        for delay in dict.fromkeys((*delays, PAUSE_DELAY))
    ]
    return Topology(
        exchanges=[*events.exchanges, Exchange(DEAD_LETTER_EXCHANGE)],
        queues=[*events.queues, *waits, Queue(DEAD_LETTER_QUEUE, _kept_in(queue_type))],
        bindings=[*events.bindings, Binding(DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, DEAD_LETTER_PATTERN)],
    )


def _wait_queue(subscription: Subscription, delay: float, queue_type: str) -> Queue:
    """One queue for one delay: expiry is looked at only at a queue's head, so delays must not share a queue."""
    arguments = _kept_in(queue_type) | {
        "x-message-ttl": int(delay * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": subscription.queue,
    }
    if queue_type == "quorum":
        arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    return Queue(subscription.wait_queue(delay), arguments)


def _kept_in(queue_type: str) -> dict[str, str | int]:
    """The arguments of every queue of a type; classic ones know no limit of deliveries."""
    if queue_type == "quorum":
        return {"x-queue-type": queue_type, "x-delivery-limit": DELIVERY_LIMIT}
    return {"x-queue-type": queue_type}
