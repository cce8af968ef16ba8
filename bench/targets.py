"""The targets of the PRD and of ShopFlow's own issue, each beside what one run at a rate of orders has shown. Pure."""

from typing import Final

import msgspec

from bench.deliveries import Deliveries
from bench.driver import Sample
from bench.figures import Figure, of_histogram, of_samples, of_times
from bench.report import Limit, limit
from bench.shop import Start
from bench.traffic import What
from bench.watch import Between
from shopflow.local.given import SERVICES

_CALLS: Final[tuple[tuple[What, float | None], ...]] = (
    (What.VALIDATE, 50),
    (What.PLACE, 300),
    (What.LIST, 100),
    (What.READ, 100),
    (What.CONFIRM, None),
    (What.SHIP, None),
    (What.DELIVER, None),
)
_MESSAGES: Final = {"email": "e-mail", "sms": "SMS"}
_EVENTS: Final = {"order_created": "order placed", "order_shipped": "order shipped"}

_IDLE_MB: Final = {"auth": 100, "orders": 100, "notifications": 130}
_LOADED_MB: Final = {"auth": 160, "orders": 160}
_WHOLE_MB: Final = 700
_SECOND_START: Final = 12
_SERVICE_START: Final = 1.5

_FROM_HISTOGRAM: Final = (
    "the service's own histogram: percentiles are estimates within a bucket, max is a bucket's bound"
)


class Run(msgspec.Struct, frozen=True):
    """What the load left: the samples, two looks around what is measured, and where the messages went."""

    samples: list[Sample]
    between: Between
    placed: int
    sent: Deliveries
    publishing: list[float]


def figures(run: Run) -> list[Figure]:
    """Every latency beside its target (PRD 7.1-7.3, 10.1)."""
    calls: dict[str, list[Sample]] = {what: [] for what in What}
    for sample in run.samples:
        calls[sample.arrival.what].append(sample)
    login = of_samples(
        What.LOGIN, calls[What.LOGIN], target=200, decides=False, note="one bcrypt hash decides this, see above"
    )
    return [
        *(of_samples(what, calls[what], target=target) for what, target in _CALLS),
        login,
        *_between_services(run.between),
        of_histogram(
            "commit → broker's confirm",
            run.between.histogram("orders", "shopflow_event_publish_seconds"),
            target=20,
            note=f"{_FROM_HISTOGRAM}; from the beginning of the statement that commits the event",
        ),
        of_times("event written → marked as published", run.publishing, target=None, note="rows of the outbox"),
        *_delivered(run.sent),
    ]


def _between_services(between: Between) -> list[Figure]:
    asked = (
        ("PRD 7.1: order-service asks who calls", "orders", "auth-service", 50),
        ("PRD 7.2: notification-service reads an order", "notifications", "order-service", 100),
        ("PRD 7.3: notification-service reads a profile", "notifications", "auth-service", 50),
    )
    return [
        of_histogram(
            name,
            between.histogram(service, "shopflow_peer_request_seconds", peer=peer),
            target=target,
            note=_FROM_HISTOGRAM,
        )
        for name, service, peer, target in asked
    ]


def _delivered(sent: Deliveries) -> list[Figure]:
    return [
        of_times(
            f"{_EVENTS[event]} → {_MESSAGES[channel]} accepted",
            delays,
            target=2000,
            note="from the answer to the caller; the PRD allows an e-mail 30 s and an SMS 10 s",
        )
        for (event, channel), delays in sent.delays.items()
    ]


def counts(run: Run) -> list[Limit]:
    """Whether every call and every message did what it should."""
    return [
        limit("orders placed", run.placed, ""),
        limit("calls that failed", sum(sample.error is not None for sample in run.samples), "", 0),
        limit("orders without exactly their four messages", run.sent.incomplete, "", 0),
        limit("messages that nobody should have got", run.sent.surplus, "", 0),
    ]


def memory(idle: dict[str, float], loaded: dict[str, float]) -> list[Limit]:
    """Megabytes of each part, at rest and after the load."""
    parts = [*SERVICES, *(part for part in idle if part not in SERVICES)]
    return [
        *(limit(f"memory of {part}, idle", idle[part], "MB", _IDLE_MB.get(part)) for part in parts),
        limit("memory of everything, idle", sum(idle.values()), "MB", _WHOLE_MB),
        *(limit(f"memory of {part}, after the load", loaded[part], "MB", _LOADED_MB.get(part)) for part in parts),
        limit("memory of everything, after the load", sum(loaded.values()), "MB"),
    ]


def starts(first: Start, second: Start) -> list[Limit]:
    """Seconds until everything answered, and until each part did."""
    return [
        limit("`up` in a fresh home", first.seconds, "s"),
        limit("`up` the second time", second.seconds, "s", _SECOND_START),
        *(_ready(part, took) for part, took in second.parts.items()),
    ]


def _ready(part: str, seconds: float) -> Limit:
    """The target is for a service that starts alone; here several start on the same cores."""
    target = _SERVICE_START if part in SERVICES else None
    return limit(f"{part} ready, second time", seconds, "s", target, decides=False)
