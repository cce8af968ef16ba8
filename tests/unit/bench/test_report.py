"""The page of a result, what decides over it, and whose process is whose."""

from bench.figures import Figure, of_times
from bench.machine import Machine, descendants
from bench.report import Limit, Noise, Result, Setting, limit, page

MACHINE = Machine(2, "a processor", 16.0, "Linux 6.1", "3.11.7", "2026-02-17 11:00 UTC", "abc", (0.1, 0.2, 0.3))


def result(figures: list[Figure], limits: list[Limit]) -> Result:
    setting = Setting(500.0, 75.0, 10.0, 1000, 20, 20)
    return Result(MACHINE, setting, 240.0, figures, limits, {"auth": 0.25}, Noise(0.5, 0.0, 1.0, 2.0))


def test_a_missed_target_decides_unless_it_is_marked_otherwise() -> None:
    login = of_times("login", [300.0], target=200, decides=False)

    assert result([login], [limit("memory", 99, "MB", 100)]).held
    assert not result([login], [limit("memory", 101, "MB", 100)]).held
    assert not result([of_times("validate", [60.0], target=50)], []).held


def test_the_page_shows_each_figure_beside_its_target_and_verdict() -> None:
    shown = page(
        result([of_times("validate", [1.0, 60.0], target=50, note="seen from afar")], [limit("up", 7.5, "s", 12)])
    )

    assert "| validate [1]" in shown
    assert "< 50 | MISSED |" in shown
    assert "[1] seen from afar" in shown
    assert "7.5 s" in shown
    assert "One bcrypt hash of cost 12 takes 240 ms" in shown
    assert "Not everything holds" in shown


def test_the_page_says_why_calls_failed() -> None:
    shown = page(result([of_times("validate", [1.0], target=50, errors={"status 503": 2})], []))

    assert "validate: 2 times status 503" in shown


def test_each_part_has_its_own_processes_and_not_another_part_s() -> None:
    children = {1: [2, 3], 2: [4], 3: [5]}

    assert descendants({"up": 1, "auth": 3}, children) == {"up": [1, 2, 4], "auth": [3, 5]}


def test_a_machine_that_was_not_quiet_is_named() -> None:
    assert "NOT QUIET" in page(result([], []))
