"""Numbers out of samples: percentiles, histograms of the services' own metrics, and each figure beside its target.
Pure: it reads nothing and prints nothing."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from bench.driver import Sample

P50: Final = 0.5
P99: Final = 0.99


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the result. Times are in milliseconds.

    Attributes:
        name: what was measured.
        count: of how many.
        p50, p99, longest: None where nothing was measured.
        errors: how many failed, by why.
        target: what p99 must stay below; None where there is none.
        held: whether it does, and nothing failed; None without a target.
        decides: whether the run fails when it does not hold.
        note: what a reader has to know.
    """

    name: str
    count: int
    p50: float | None
    p99: float | None
    longest: float | None
    errors: Mapping[str, int] = {}
    target: float | None = None
    held: bool | None = None
    decides: bool = True
    note: str = ""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank): a value that was measured.

    Args:
        ordered: at least one value, the lowest first.
        share: above 0, at most 1.
    """
    return ordered[max(ceil(share * len(ordered) - 1e-9), 1) - 1]


def of_samples(
    name: str, samples: Iterable[Sample], *, target: float | None, decides: bool = True, note: str = ""
) -> Figure:
    """The figure of one kind of call: times of the measured ones, errors of all."""
    errors: dict[str, int] = {}
    times = []
    for sample in samples:
        if sample.error is not None:
            errors[sample.error] = errors.get(sample.error, 0) + 1
        elif sample.arrival.measured:
            times.append(sample.seconds * 1000)
    return of_times(name, times, target=target, decides=decides, note=note, errors=errors)


def of_times(
    name: str,
    times: Iterable[float],
    *,
    target: float | None,
    decides: bool = True,
    note: str = "",
    errors: Mapping[str, int] | None = None,
) -> Figure:
    """The figure of times in milliseconds. One without any time does not hold its target."""
    ordered = sorted(times)
    p50, p99, longest = (
        (percentile(ordered, P50), percentile(ordered, P99), ordered[-1]) if ordered else (None, None, None)
    )
    held = None if target is None else p99 is not None and p99 < target and not errors
    return Figure(name, len(ordered), p50, p99, longest, errors or {}, target, held, decides, note)


class Histogram(msgspec.Struct, frozen=True):
    """A histogram of seconds: for each upper bound, how many values do not exceed it; the last bound is infinite."""

    counts: Mapping[float, float]

    def since(self, earlier: "Histogram") -> "Histogram":
        """What was added after an earlier look at the same histogram."""
        return Histogram({bound: count - earlier.counts.get(bound, 0) for bound, count in self.counts.items()})

    @property
    def count(self) -> int:
        """How many values there are."""
        return round(max(self.counts.values(), default=0))

    def quantile(self, share: float) -> float | None:
        """About the value that `share` of the values do not exceed, spread evenly in its bucket as Prometheus does."""
        wanted = share * self.count
        for (lower, before), (upper, here) in pairwise([(0.0, 0.0), *sorted(self.counts.items())]):
            if here >= wanted and here > before:
                return lower if upper == inf else lower + (upper - lower) * (wanted - before) / (here - before)
        return None

    def share_within(self, seconds: float) -> float:
        """Which share of the values does not exceed `seconds`, which must be a bound of a bucket."""
        return self.counts[seconds] / self.count if self.count else 0.0

    def bound(self) -> float | None:
        """The upper bound of the highest bucket that holds anything."""
        return next((upper for upper, count in sorted(self.counts.items()) if count and count >= self.count), None)


def histograms(metrics: str, name: str, labels: Mapping[str, str]) -> Histogram:
    """A service's histogram out of its Prometheus text: all series that carry these labels, added up."""
    counts: dict[float, float] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name == name else ():
            if sample.name == f"{name}_bucket" and labels.items() <= sample.labels.items():
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0) + sample.value
    return Histogram(counts)


def of_histogram(name: str, histogram: Histogram, *, target: float | None, note: str = "") -> Figure:
    """The figure of a service's own histogram. Whether it holds is counted exactly, since targets are bucket bounds;
    percentiles are estimates within a bucket, and the longest is its bucket's upper bound."""
    held = None if target is None else histogram.share_within(target / 1000) >= P99
    p50, p99, longest = (
        _milliseconds(each) for each in (histogram.quantile(P50), histogram.quantile(P99), histogram.bound())
    )
    return Figure(name, histogram.count, p50, p99, longest, target=target, held=held, note=note)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
