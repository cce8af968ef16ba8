"""The names on the broker: the only place where exchanges, queues, routing keys and delays are spelled (PRD 5)."""

from dataclasses import dataclass
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

    def wait_queue(self, delay: int) -> str:
        """The queue in which a copy waits for `delay` seconds before it comes back to `queue` (R53)."""
        return f"{self.queue}.wait.{delay}s"


SUBSCRIPTIONS: Final = (
    Subscription(event_type=EventType.ORDER_CREATED, queue="notifications.order.created", routing_key="order.created"),
    Subscription(event_type=EventType.ORDER_SHIPPED, queue="notifications.order.shipped", routing_key="order.shipped"),
)

ROUTING_KEYS: Final = {each.event_type: each.routing_key for each in SUBSCRIPTIONS}
