"""Percentiles, histograms, and when a figure holds its target."""

import pytest
from bench.driver import Arrival, Sample
from bench.figures import Histogram, histograms, of_histogram, of_samples, of_times, percentile
from hypothesis import given
from hypothesis import strategies as some

TEXT = """
# HELP shopflow_peer_request_seconds Time a call to a neighbour takes.
# TYPE shopflow_peer_request_seconds histogram
shopflow_peer_request_seconds_bucket{le="0.01",peer="auth-service"} 98.0
shopflow_peer_request_seconds_bucket{le="0.02",peer="auth-service"} 100.0
shopflow_peer_request_seconds_bucket{le="+Inf",peer="auth-service"} 100.0
shopflow_peer_request_seconds_count{peer="auth-service"} 100.0
shopflow_peer_request_seconds_sum{peer="auth-service"} 0.5
shopflow_peer_request_seconds_bucket{le="0.01",peer="order-service"} 0.0
shopflow_peer_request_seconds_bucket{le="0.02",peer="order-service"} 7.0
shopflow_peer_request_seconds_bucket{le="+Inf",peer="order-service"} 7.0
"""


def sample(seconds: float, *, error: str | None = None, measured: bool = True) -> Sample:
    return Sample(Arrival(0.0, "call", 0, measured), seconds, 0.0, error)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([1.0], 0.99, 1.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([float(each) for each in range(1, 101)], 0.99, 99.0),
        ([float(each) for each in range(1, 102)], 0.99, 100.0),
        ([float(each) for each in range(1, 101)], 1.0, 100.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


@given(some.lists(some.floats(0, 1e6), min_size=1), some.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(sorted(values), share)

    assert found in values
    assert sum(each <= found for each in values) >= share * len(values) - 1e-6
    assert sum(each < found for each in values) < share * len(values)


def test_what_is_not_measured_counts_only_if_it_failed() -> None:
    figure = of_samples("calls", [sample(0.001), sample(9.0, measured=False)], target=50)

    assert (figure.count, figure.longest, figure.held) == (1, 1.0, True)


def test_one_failed_call_is_enough_for_a_figure_not_to_hold() -> None:
    figure = of_samples("calls", [sample(0.001), sample(0.001, error="status 500", measured=False)], target=50)

    assert (figure.errors, figure.held) == ({"status 500": 1}, False)


def test_a_p99_at_the_target_does_not_hold_it() -> None:
    assert of_times("calls", [49.9], target=50).held is True
    assert of_times("calls", [50.0], target=50).held is False


def test_nothing_measured_does_not_hold() -> None:
    assert of_times("calls", [], target=50).held is False
    assert of_times("calls", [], target=None).held is None


def test_a_histogram_is_read_by_its_labels() -> None:
    read = histograms(TEXT, "shopflow_peer_request_seconds", {"peer": "auth-service"})

    assert read.count == 100
    assert read.counts[0.01] == 98
    assert histograms(TEXT, "shopflow_peer_request_seconds", {}).count == 107


def test_quantiles_of_a_histogram_are_spread_within_their_bucket() -> None:
    read = histograms(TEXT, "shopflow_peer_request_seconds", {"peer": "auth-service"})

    assert read.quantile(0.49) == pytest.approx(0.005)
    assert read.quantile(0.99) == pytest.approx(0.015)
    assert read.bound() == 0.02


def test_only_what_came_between_two_looks_counts() -> None:
    earlier, later = Histogram({0.01: 90.0, float("inf"): 100.0}), Histogram({0.01: 100.0, float("inf"): 110.0})

    assert later.since(earlier).counts == {0.01: 10.0, float("inf"): 10.0}
    assert later.since(Histogram({})) == later


def test_a_histogram_holds_its_target_by_counting_not_by_estimate() -> None:
    read = histograms(TEXT, "shopflow_peer_request_seconds", {"peer": "auth-service"})

    assert of_histogram("calls", read, target=20).held is True
    assert of_histogram("calls", read, target=10).held is False


def test_an_empty_histogram_does_not_hold() -> None:
    figure = of_histogram("calls", Histogram({0.01: 0.0, float("inf"): 0.0}), target=10)

    assert (figure.count, figure.p99, figure.held) == (0, None, False)
