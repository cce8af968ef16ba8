"""Decides the invariants I1 to I10 over what clients were told and what was found afterwards. Pure.

An outcome that nobody knows is taken as it is: the order of a client that got no answer may exist or not.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec
from tests.chaos.evidence import STATES, Evidence, FoundMessage, FoundNotification, FoundOrder
from tests.chaos.history import History, Outcome

from shopflow.contracts.events import PAYLOADS, Envelope, EventType

MOST_EMAILS: Final = 2
REFUSALS: Final = (500, 599)
IN_TROUBLE: Final = frozenset({503})


class Violation(NamedTuple):
    """An invariant that does not hold, and for what; `about` is an order, event, notification, process or fault."""

    invariant: str
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.about}: {self.what}"


def violations(history: History, evidence: Evidence) -> list[Violation]:
    """Everything that is wrong; empty when all invariants hold."""
    return [violation for rule in RULES for violation in rule(history, evidence)]


def _orders_and_events(history: History, evidence: Evidence) -> Iterator[Violation]:
    """I1: an order that was acknowledged exists, none exists twice, each has exactly the events of its states."""
    found = {order.id: order for order in evidence.orders}
    for operation in history.of("place"):
        if operation.outcome is Outcome.DONE and operation.result not in found:
            yield Violation("I1", str(operation.result), "was acknowledged and does not exist")
    counted = Counter((event.order_id, event.routing_key) for event in evidence.events)
    for order in evidence.orders:
        shipped = order.status in {"shipped", "delivered"}
        for key, expected in (("order.created", 1), ("order.shipped", int(shipped))):
            if counted[order.id, key] != expected:
                yield Violation("I1", order.id, f"has {counted[order.id, key]} {key}, not {expected}")
    placed = Counter(order.user_id for order in evidence.orders)
    for client, (least, most) in _expected(history).items():
        if not least <= placed[client] <= most:
            yield Violation("I1", client, f"has {placed[client]} orders, asked for {least} to {most}")


def _expected(history: History) -> dict[str, tuple[int, int]]:
    """How many orders each client may have: those known, and those of which nobody knows."""
    bounds: dict[str, tuple[int, int]] = {}
    for operation in history.of("place"):
        least, most = bounds.get(operation.client, (0, 0))
        known, possible = operation.outcome is Outcome.DONE, operation.outcome is not Outcome.REFUSED
        bounds[operation.client] = (least + known, most + possible)
    return bounds


def _events_are_true(_: History, evidence: Evidence) -> Iterator[Violation]:
    """I2: no event for an order that does not exist; what it says is of the declared shape; none came from nowhere."""
    orders = {order.id for order in evidence.orders}
    for event in evidence.events:
        if event.order_id not in orders:
            yield Violation("I2", event.id, f"is about order {event.order_id}, which does not exist")
        if (fault := _misshapen(event.body, event.id)) is not None:
            yield Violation("I2", event.id, fault)
    known = {event.id for event in evidence.events}
    for event_id in evidence.received:
        if event_id not in known:
            yield Violation("I2", event_id, "was received and never written")


def _misshapen(body: bytes, event_id: str) -> str | None:
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
        msgspec.json.decode(bytes(envelope.payload), type=PAYLOADS[EventType(envelope.event_type)], strict=False)
    except (msgspec.DecodeError, ValueError) as error:
        return f"has a body that cannot be read: {error}"
    return None if envelope.event_id == event_id else "has another id in its body"


def _nothing_waits(_: History, evidence: Evidence) -> Iterator[Violation]:
    """I3: everything is published and no queue holds anything back."""
    for event in evidence.events:
        if not event.published:
            yield Violation("I3", event.id, "is not published")
    for queue, depth in evidence.ready.items():
        if depth:
            yield Violation("I3", queue, f"holds {depth} messages")


def _nothing_doubled(_: History, evidence: Evidence) -> Iterator[Violation]:
    """I4: at most one send per notification; a second e-mail only when an attempt is on record as in doubt."""
    owner = _owners(evidence)
    sent = Counter(owner.get(message.id) for message in evidence.messages)
    for message in evidence.messages:
        if owner.get(message.id) is None:
            yield Violation("I4", message.id, f"was sent to {message.to} without a row that says so")
    for each in evidence.notifications:
        most = min(MOST_EMAILS, 1 + each.doubts) if each.channel == "email" else 1
        if sent[each.id] > most:
            yield Violation(
                "I4", each.id, f"went out {sent[each.id]} times by {each.channel}, at most {most} were allowed"
            )


def _owners(evidence: Evidence) -> dict[str, str]:
    """Which notification each accepted message belongs to: by reference, by tag, by its words to that recipient."""
    by_reference = {each.provider_ref: each.id for each in evidence.notifications if each.provider_ref}
    by_words = {(each.recipient, each.body): each.id for each in evidence.notifications if each.channel == "sms"}
    ids = {each.id for each in evidence.notifications}
    owners = {}
    for message in evidence.messages:
        owner = _owner(message, by_reference, by_words, ids)
        if owner is not None:
            owners[message.id] = owner
    return owners


def _owner(
    message: FoundMessage, by_reference: dict[str, str], by_words: dict[tuple[str, str], str], ids: set[str]
) -> str | None:
    if message.notification_id in ids:
        return message.notification_id
    return by_reference.get(message.id) or by_words.get((message.to, message.text or ""))


def _nothing_lost(_: History, evidence: Evidence) -> Iterator[Violation]:
    """I5: every event led to notifications that are sent or failed for a reason, or is parked with one."""
    parked = {event_id for event_id, _ in evidence.parked}
    of_event: dict[str, list[FoundNotification]] = defaultdict(list)
    for each in evidence.notifications:
        of_event[each.event_id].append(each)
    accepted = {message.id for message in evidence.messages}
    for event in evidence.events:
        if event.id not in evidence.received and event.id not in parked:
            yield Violation("I5", event.id, "vanished: neither received nor parked")
        if evidence.received.get(event.id) == "notified" and not of_event[event.id]:
            yield Violation("I5", event.id, "was received and nobody was to be told")
    for each in evidence.notifications:
        if (fault := _unfinished(each, accepted, parked)) is not None:
            yield Violation("I5", each.id, fault)
    for event_id, reason in evidence.parked:
        if not reason or reason == "None":
            yield Violation("I5", event_id, "is parked without a reason")


def _unfinished(each: FoundNotification, accepted: set[str], parked: set[str]) -> str | None:
    match each.status:
        case "sent":
            return None if each.provider_ref in accepted else "is sent, and the provider knows nothing of it"
        case "failed" if not each.error:
            return "failed without a reason"
        case "failed" if each.exhausted and each.event_id not in parked:
            return "failed on its last retry and its event is not parked"
        case "failed":
            return None
        case _:
            return f"is still {each.status}"


def _states_are_sound(history: History, evidence: Evidence) -> Iterator[Violation]:
    """I6: the states went forward one by one, each has its instant, and what an admin was told holds."""
    found = {order.id: order for order in evidence.orders}
    for order in evidence.orders:
        if (fault := _unsound(order)) is not None:
            yield Violation("I6", order.id, fault)
    for operation in history.of("advance"):
        order_id, status = operation.subject.split()
        if operation.outcome is Outcome.DONE and (
            order_id not in found or STATES.index(found[order_id].status) < STATES.index(status)
        ):
            yield Violation("I6", order_id, f"was acknowledged as {status} and is not")


def _unsound(order: FoundOrder) -> str | None:
    passed = STATES[: STATES.index(order.status) + 1]
    if tuple(state for state, _ in order.history) != passed:
        return f"is {order.status} with the history {[state for state, _ in order.history]}"
    stamps = (order.created_at, order.confirmed_at, order.shipped_at, order.delivered_at)
    if [stamp is not None for stamp in stamps] != [state in passed for state in STATES]:
        return f"is {order.status} with instants that belong to another state"
    known = [stamp for stamp in stamps if stamp is not None]
    return None if known == sorted(known) else "has instants that go backwards"


def _no_server_errors(history: History, _: Evidence) -> Iterator[Violation]:
    """I7: whatever is missing, the answer is 503 and never another server error."""
    lowest, highest = REFUSALS
    for operation in history.operations:
        for status in operation.statuses:
            if status is not None and lowest <= status <= highest and status not in IN_TROUBLE:
                yield Violation("I7", f"{operation.kind} {operation.subject}", f"was answered {status}")


def _sessions_are_sound(history: History, evidence: Evidence) -> Iterator[Violation]:
    """I8: each refresh token has one successor, and only the last one may still be used; nobody is logged out."""
    families: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for token in evidence.tokens:
        families[token.family_id].append((token.sequence, token.used))
    for family_id, tokens in families.items():
        ordered = sorted(tokens)
        if [sequence for sequence, _ in ordered] != list(range(1, len(ordered) + 1)):
            yield Violation("I8", family_id, "has a gap or a branch")
        if not all(used for _, used in ordered[:-1]):
            yield Violation("I8", family_id, "has two tokens that may still be used")
    for operation in history.of("refresh"):
        if operation.outcome is Outcome.REFUSED:
            yield Violation("I8", operation.client, f"was logged out: {operation.statuses}")


def _recovers_in_time(history: History, _: Evidence) -> Iterator[Violation]:
    """I9: everything is as before within its limit."""
    for recovery in history.recoveries:
        if recovery.seconds > recovery.limit:
            yield Violation("I9", recovery.fault, f"took {recovery.seconds:.1f} s, more than {recovery.limit:.0f} s")


def _no_secret_is_logged(history: History, evidence: Evidence) -> Iterator[Violation]:
    """I10: what clients kept secret stands in no log."""
    for name, text in evidence.logs.items():
        for secret in history.secrets:
            if secret in text:
                yield Violation("I10", name, f"logged a secret that ends in {secret[-4:]}")


RULES: Final[tuple[Callable[[History, Evidence], Iterator[Violation]], ...]] = (
    _orders_and_events,
    _events_are_true,
    _nothing_waits,
    _nothing_doubled,
    _nothing_lost,
    _states_are_sound,
    _no_server_errors,
    _sessions_are_sound,
    _recovers_in_time,
    _no_secret_is_logged,
)
