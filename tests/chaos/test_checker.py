"""The checker itself: it passes what is sound, and finds each known way to be unsound."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.chaos.checker import violations
from tests.chaos.evidence import (
    Evidence,
    FoundEvent,
    FoundMessage,
    FoundNotification,
    FoundOrder,
    FoundToken,
)
from tests.chaos.history import History, Operation, Outcome, Recovery

ORDER, USER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
CREATED, SHIPPED = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "ShopFlow: your order"


def body(event_id: str, kind: str) -> bytes:
    """An event as order-service writes it."""
    place = {"city": "Springfield", "state": "IL", "country": "US"}
    payload: dict[str, Any] = {"order_id": ORDER, "user_id": USER, "shipping_address": place}
    if kind == "OrderCreated":
        payload |= {"status": "pending", "total_amount": 9.5, "currency": "USD", "items_count": 1}
    else:
        payload |= {"status": "shipped", "shipped_at": "2026-01-01T00:02:00.000Z"}
    envelope = {"event_id": event_id, "event_type": kind, "timestamp": "2026-01-01T00:00:00.000Z", "version": "1.0"}
    return msgspec.json.encode(envelope | {"payload": payload})


@dataclass
class Run:
    """A history and what was found after it."""

    history: History
    evidence: Evidence


def sound() -> Run:
    """One order that was shipped, one session that was refreshed: nothing is wrong."""
    history = History(
        operations=[
            Operation("place", USER, "key", Outcome.DONE, [None, 503, 201], result=ORDER),
            Operation("advance", "admin", f"{ORDER} shipped", Outcome.DONE, [200]),
            Operation("refresh", USER, "token", Outcome.DONE, [None, 200]),
        ],
        secrets={"a-secret-that-nobody-logs"},
        recoveries=[Recovery("N-1", 3.0, 15.0)],
    )
    minutes = [THEN + timedelta(minutes=number) for number in range(3)]
    states = tuple(zip(("pending", "confirmed", "shipped"), minutes, strict=True))
    events = [
        FoundEvent(event_id, ORDER, key, body(event_id, kind), published=True)
        for event_id, key, kind in (
            (CREATED, "order.created", "OrderCreated"), (SHIPPED, "order.shipped", "OrderShipped"),
        )
    ]  # fmt: skip
    notifications = [
        FoundNotification(f"{channel}-{event_id}", event_id, channel, channel, f"{TEXT} {event_id}", "sent",
                          f"ref-{channel}-{event_id}", None, exhausted=False, doubts=0)
        for event_id in (CREATED, SHIPPED)
        for channel in ("email", "sms")
    ]  # fmt: skip
    messages = [
        FoundMessage(
            f"ref-{each.id}", each.channel, each.channel, each.body, each.id if each.channel == "email" else None
        )
        for each in notifications
    ]
    return Run(
        history,
        Evidence(
            orders=[FoundOrder(ORDER, USER, "shipped", minutes[0], minutes[1], minutes[2], None, states)],
            events=events,
            received={CREATED: "notified", SHIPPED: "notified"},
            notifications=notifications,
            messages=messages,
            tokens=[FoundToken("family", 1, True, False), FoundToken("family", 2, False, False)],
            ready={"notifications.order.created": 0},
            logs={"orders": '{"event": "placed"}'},
        ),
    )


def test_a_sound_run_has_no_violations() -> None:
    run = sound()
    assert violations(run.history, run.evidence) == []


def test_an_order_of_a_client_who_got_no_answer_may_exist_or_not() -> None:
    for placed in (True, False):
        run = sound()
        run.history.operations[0].outcome, run.history.operations[0].result = Outcome.UNKNOWN, None
        if not placed:
            run.history.operations.pop(1)
            run.evidence = Evidence(tokens=run.evidence.tokens)
        assert violations(run.history, run.evidence) == []


def test_a_second_email_in_doubt_is_allowed_once() -> None:
    run = sound()
    email = run.evidence.notifications[0]
    run.evidence.notifications[0] = email._replace(doubts=1)
    run.evidence.messages.append(FoundMessage("another", "email", "email", None, email.id))
    assert violations(run.history, run.evidence) == []


Spoil = Callable[[Run], object]


def replaced(rows: list[Any], position: int, **fields: Any) -> None:
    """One row, other in these fields."""
    rows[position] = rows[position]._replace(**fields)


def unship(run: Run) -> None:
    """The order is back at confirmed."""
    replaced(run.evidence.orders, 0, status="confirmed", shipped_at=None, history=run.evidence.orders[0].history[:2])


def doubt(run: Run) -> None:
    """Every notification is in doubt."""
    for position in range(len(run.evidence.notifications)):
        replaced(run.evidence.notifications, position, doubts=5)


def sent_again(position: int, times: int = 1) -> Spoil:
    """A message that went out again."""

    def spoil(run: Run) -> None:
        message = run.evidence.messages[position]
        run.evidence.messages.extend(message._replace(id=f"again {number}") for number in range(times))

    return spoil


def untold(run: Run) -> None:
    """Nobody was told anything."""
    run.evidence.notifications.clear()
    run.evidence.messages.clear()


def changed(rows: str, position: int, **fields: object) -> Spoil:
    """A row of these that is other than it should be."""
    return lambda run: replaced(getattr(run.evidence, rows), position, **fields)


def added(rows: str, row: object) -> Spoil:
    """One row too many."""
    return lambda run: getattr(run.evidence, rows).append(row)


def without(rows: str, position: int) -> Spoil:
    """One row too few."""
    return lambda run: getattr(run.evidence, rows).pop(position)


STATES = sound().evidence.orders[0].history

BAD: dict[str, tuple[str, *tuple[Spoil, ...]]] = {
    "an acknowledged order is not there": ("I1", without("orders", 0)),
    "one key made two orders": ("I1", added("orders", sound().evidence.orders[0]._replace(id=USER))),
    "an order has no event": ("I1", without("events", 0)),
    "an order has two events": ("I1", added("events", sound().evidence.events[0])),
    "a shipped order has no OrderShipped": ("I1", without("events", 1)),
    "an order that never shipped says so": ("I1", unship),
    "an event is about no order": ("I2", changed("events", 0, order_id=USER)),
    "an event cannot be read": ("I2", changed("events", 0, body=b"{")),
    "an event says that it is another": ("I2", changed("events", 0, body=body(SHIPPED, "OrderCreated"))),
    "an event came from nowhere": ("I2", lambda run: run.evidence.received.update({USER: "notified"})),
    "an event is not published": ("I3", changed("events", 0, published=False)),
    "a queue holds something back": ("I3", lambda run: run.evidence.ready.update(queue=1)),
    "an SMS went out twice": ("I4", sent_again(1)),
    "an SMS in doubt went out twice": ("I4", doubt, sent_again(1)),
    "an e-mail went out twice without doubt": ("I4", sent_again(0)),
    "an e-mail in doubt went out three times": ("I4", doubt, sent_again(0, times=2)),
    "a message went out without a row": ("I4", added("messages", FoundMessage("x", "sms", "+1", "?", None))),
    "an event vanished": ("I5", untold, lambda run: run.evidence.received.pop(CREATED)),
    "an event was received and nobody told": ("I5", untold),
    "a notification is queued for ever": ("I5", changed("notifications", 0, status="queued")),
    "a notification failed without a reason": ("I5", changed("notifications", 0, status="failed")),
    "a notification failed for good and is not parked": (
        "I5", changed("notifications", 0, status="failed", error="500", exhausted=True),
    ),
    "a notification is sent and the provider knows nothing": ("I5", without("messages", 0)),
    "an event is parked without a reason": ("I5", added("parked", (CREATED, ""))),
    "an acknowledged state is not there": ("I6", unship, without("events", 1)),
    "a state was skipped": ("I6", changed("orders", 0, history=STATES[::2])),
    "an instant is missing": ("I6", changed("orders", 0, confirmed_at=None)),
    "instants go backwards": ("I6", changed("orders", 0, shipped_at=THEN - timedelta(days=1))),
    "a missing dependency was a 500": ("I7", lambda run: run.history.operations[0].statuses.append(500)),
    "a refresh token has two successors": ("I8", added("tokens", FoundToken("family", 2, False, False))),
    "two tokens may be used": ("I8", changed("tokens", 0, used=False)),
    "a lost answer logged somebody out": (
        "I8", lambda run: setattr(run.history.operations[2], "outcome", Outcome.REFUSED),
    ),
    "recovery took too long": ("I9", lambda run: run.history.recoveries.append(Recovery("B-8", 16.0, 15.0))),
    "a secret is in a log": ("I10", lambda run: run.evidence.logs.update(auth="a-secret-that-nobody-logs")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_known_bad_history_is_rejected(name: str) -> None:
    invariant, *spoils = BAD[name]
    run = sound()
    for spoil in spoils:
        spoil(run)
    found = violations(run.history, run.evidence)
    assert invariant in {violation.invariant for violation in found}, found


def test_every_invariant_is_among_the_bad_histories() -> None:
    assert {invariant for invariant, *_ in BAD.values()} == {f"I{number}" for number in range(1, 11)}


def test_judging_changes_nothing() -> None:
    run = sound()
    before = deepcopy(run)
    violations(run.history, run.evidence)
    assert run == before
