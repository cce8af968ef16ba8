"""A service's own token: how long it still holds, when that is complained about, and what is read again (R8)."""

import math
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shopflow.auth.tokens import SERVICE_SECONDS, Tokens
from shopflow.kit.credentials import SOON, Credential
from shopflow.kit.metrics import Metrics

TOKENS = Tokens("a secret of more than thirty-two bytes")


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def token(issued: float) -> str:
    return TOKENS.service("order-service", issued=int(issued))


def complaints(credential: Credential) -> list[int]:
    """How many seconds were left in each complaint that the next look leads to."""
    with capture_logs() as lines:
        credential.token()
    return [line["seconds"] for line in lines if line["event"] == "service_token_expires"]


def test_it_says_how_long_its_token_holds_and_below_zero_for_how_long_it_has_not(clock: Clock) -> None:
    credential = Credential(token(clock.now), clock=clock)
    assert credential.seconds_left() == SERVICE_SECONDS
    clock.now += SERVICE_SECONDS + 5
    assert credential.seconds_left() == -5


@pytest.mark.parametrize("text", [None, "", "x", "a.b.c", "a.bm9wZQ.c", "a.eyJleHAiOiAieCJ9.c", "a.W10.c", "ü.ü.ü"])
def test_what_says_no_end_has_none_and_is_not_complained_about(text: str | None, clock: Clock) -> None:
    credential = Credential(text, clock=clock)
    assert math.isnan(credential.seconds_left())
    assert complaints(credential) == []


def test_the_metric_follows_the_file(tmp_path: Path, clock: Clock) -> None:
    file, metrics = tmp_path / "token", Metrics()
    Credential(None, file, name="AUTH_SERVICE_TOKEN", metrics=metrics, clock=clock)
    named = b'shopflow_service_token_seconds{token="AUTH_SERVICE_TOKEN"} '
    assert named + b"NaN" in metrics.text()
    file.write_text(token(clock.now))
    assert named + b"86400.0" in metrics.text()


def test_it_complains_once_an_hour_when_less_than_an_hour_is_left(clock: Clock) -> None:
    credential = Credential(token(clock.now), name="ORDER_SERVICE_TOKEN", clock=clock)
    clock.now += SERVICE_SECONDS - SOON
    assert complaints(credential) == []
    clock.now += 1
    assert complaints(credential) == [3599]
    assert complaints(credential) == []
    clock.now += SOON - 1
    assert complaints(credential) == []
    clock.now += 1
    assert complaints(credential) == [-1]


def test_a_renewed_file_ends_the_complaints(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "token"
    file.write_text(token(clock.now - SERVICE_SECONDS + 60))
    credential = Credential(None, file, clock=clock)
    assert complaints(credential) == [60]
    file.unlink()
    file.write_text(token(clock.now))
    clock.now += 2 * SOON
    assert complaints(credential) == []


def test_a_refused_token_is_read_again_though_the_file_looks_the_same(tmp_path: Path) -> None:

    file = tmp_path / "token"
    file.write_text("first")
    credential = Credential(None, file)
    assert credential.token() == "first"
    assert not credential.renewed()
    seen = file.stat()
    file.write_text("other")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert credential.token() == "first"
    assert credential.renewed()
    assert credential.token() == "other"


def test_a_token_never_shows_in_the_complaint_nor_in_its_own_description(clock: Clock) -> None:
    text = token(clock.now - SERVICE_SECONDS)
    credential = Credential(text, clock=clock)
    with capture_logs() as lines:
        credential.token()
    assert text not in str(lines) + repr(credential)
