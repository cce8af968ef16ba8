"""Plays a schedule, reads what it left and says what is wrong: by the chaos checker's rules and two of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from tests.chaos.checker import Violation, violations
from tests.chaos.evidence import (
    EVENTS,
    NOTIFICATIONS,
    RECEIVED,
    STATES,
    Evidence,
    FoundEvent,
    FoundMessage,
    FoundNotification,
    FoundOrder,
)
from tests.chaos.history import History
from tests.simulation.database import Ground
from tests.simulation.schedule import Bench, Outcome, Parts, Schedule
from tests.simulation.weather import Plan

from shopflow.contracts.topology import DEAD_LETTER_QUEUE
from shopflow.kit.consumer import REASON

_NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


def played(bench: Bench, plan: Plan, parts: Parts | None = None) -> Outcome:
    """Plays a schedule and judges what it left."""
    with bench.ground.schedule(plan.seed):
        schedule = Schedule(bench, plan, parts)
        schedule.play()
        found = [*violations(History(), _evidence(schedule, bench.ground)), *_own(schedule)]
    return Outcome(plan.seed, found, schedule.world.trace, schedule.steps, plan.replay)


def _own(schedule: Schedule) -> Iterator[Violation]:
    """Nothing surprises the product; events of one order reach the broker for the first time in their order."""
    for error in schedule.errors:
        yield Violation("surprise", "a process", error)
    first = {event: at for at, event in reversed(list(enumerate(schedule.broker.enqueued)))}
    last: dict[str, int] = {}
    for event, (order, key, _) in schedule.events.items():  # in the order of their commits
        at = first.get(event, -1)
        if at < last.get(order, -1):
            yield Violation("order", order, f"{key} was published before what came first")
        last[order] = at


def _evidence(schedule: Schedule, ground: Ground) -> Evidence:
    broker = schedule.broker
    events = [FoundEvent(str(row[0]), str(row[1]), *tuple(row)[2:]) for row in ground.fetch("orders", EVENTS)]
    shipped = {event.order_id for event in events if event.routing_key == "order.shipped"}
    parked = broker.queues.get(DEAD_LETTER_QUEUE)
    return Evidence(
        orders=[_order(order.id, order.user_id, is_shipped=order.id in shipped) for order in schedule.orders],
        events=events,
        received={str(row["event_id"]): row["outcome"] for row in ground.fetch("notifications", RECEIVED)},
        notifications=[
            FoundNotification(str(row[0]), str(row[1]), *tuple(row)[2:])
            for row in ground.fetch("notifications", NOTIFICATIONS)
        ],
        parked=[
            (str(msgspec.json.decode(each.body)["event_id"]), str(each.headers.get(REASON)))
            for each in (parked.ready if parked else ())
        ],
        messages=[
            FoundMessage(each.reference, each.channel, each.outgoing.to, each.outgoing.text,
                         str(each.outgoing.notification_id))
            for each in schedule.provider.taken
        ],
        ready={name: depth for name, depth in broker.holds.items() if name != DEAD_LETTER_QUEUE},
    )  # fmt: skip


def _order(order_id: str, user_id: str, *, is_shipped: bool) -> FoundOrder:
    passed = STATES[: 3 if is_shipped else 1]
    stamps = [_NOON + timedelta(seconds=number) for number in range(len(passed))]
    _, confirmed, shipped = (*stamps, None, None)[:3]
    return FoundOrder(
        order_id, user_id, passed[-1], _NOON, confirmed, shipped, None, tuple(zip(passed, stamps, strict=True))
    )
