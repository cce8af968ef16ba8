"""What is remembered of tokens without their texts: the latest, and a few bytes each."""

import tracemalloc

from shopflow.auth.remembered import Remembered


def test_what_was_kept_is_known_and_nothing_else_is() -> None:
    remembered = Remembered(10)
    remembered.keep("a", b"1")
    assert remembered.of("a") == b"1"
    assert remembered.of("b") is None
    assert remembered.of("\ud800") is None


def test_the_latest_half_is_always_known_and_never_more_than_all() -> None:
    remembered = Remembered(100)
    for number in range(1000):
        remembered.keep(str(number), b"")
        assert len(remembered) <= 100
    assert all(remembered.of(str(number)) is not None for number in range(950, 1000))
    assert remembered.of("0") is None


def test_what_is_asked_for_again_and_again_is_never_forgotten() -> None:
    remembered = Remembered(10)
    remembered.keep("asked", b"1")
    for number in range(1000):
        remembered.keep(str(number), b"")
        assert remembered.of("asked") == b"1"


def test_a_text_costs_two_hundred_bytes_however_long_it_is() -> None:
    tracemalloc.start()
    try:
        remembered = Remembered(2000)
        for number in range(2000):
            remembered.keep(f"{number:0400}", number.to_bytes(48))
        assert tracemalloc.get_traced_memory()[0] < 250 * len(remembered)
    finally:
        tracemalloc.stop()
