"""Metrics in Prometheus text (PRD 10.4). Each application owns one `Metrics`: nothing is registered globally."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds. The PRD's targets are bounds of buckets: 20, 50, 100, 200, 300 ms, 10 s, 30 s (PRD 10.1)."""


M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """The metrics of one application. Names start with `shopflow_`; label values come from small fixed sets only.

    Asking twice for the same name answers the same metric.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[str, Any] = {}
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        """A number that only grows."""
        return self._metric(Counter, name, meaning, labels)

    def gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A number that goes up and down."""
        return self._metric(Gauge, name, meaning, labels)

    def observed(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read from the program's own state whenever somebody looks."""
        self.gauge(name, meaning).set_function(read)

    def histogram(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Histogram:
        """Durations in seconds, in buckets that hold the PRD's targets."""
        return self._metric(Histogram, name, meaning, labels, buckets=LATENCY_BUCKETS)

    def text(self) -> bytes:
        """Everything, in the text format that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _metric(self, kind: type[M], name: str, meaning: str, labels: tuple[str, ...], **options: Any) -> M:
        if name not in self._known:
            self._known[name] = kind(f"shopflow_{name}", meaning, labels, registry=self.registry, **options)
        known: M = self._known[name]
        return known
