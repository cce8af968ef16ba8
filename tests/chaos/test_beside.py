"""Platforms side by side leave nothing out, and their reports together say what each of them said."""

import argparse
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.chaos.beside import Campaign, merged
from tests.chaos.campaign import Figure, Report, Seen, Share


@pytest.mark.parametrize("of", [1, 2, 3, 4, 7])
def test_shares_together_are_everything_and_no_two_have_the_same(of: int) -> None:
    everything = list(range(248))
    shared = [each for number in range(1, of + 1) for each in Share(number, of).of_all(everything)]
    assert sorted(shared) == everything


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b"])
def test_what_is_no_share_is_refused(text: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--share", type=Share.read)
    with pytest.raises(argparse.ArgumentError):
        parser.parse_args(["--share", text])


def test_what_parts_saw_is_put_together_and_no_violation_is_lost() -> None:
    one = Report(7, [Seen("B-9", "cut", 2, 1.5)], violations=["I1 a: x"], orders=3, seconds=5.0)
    other = Report(
        7, [Seen("B-9", "cut", 1, 4.0, 0.2), Seen("K4", "killed", 1, 29.0)], violations=["I4 b: y"], orders=4
    )
    whole = merged([one, other])
    assert [asdict(each) for each in whole.seen] == [
        asdict(Seen("B-9", "cut", 3, 4.0, 0.2)),
        asdict(Seen("K4", "killed", 1, 29.0)),
    ]
    assert (whole.orders, whole.seconds, whole.violations) == (7, 5.0, ["I1 a: x", "I4 b: y"])
    assert not whole.is_green


async def test_a_part_that_breaks_is_a_violation_and_not_silence(tmp_path: Path) -> None:
    said: list[str] = []
    campaign = Campaign(1, tmp_path, ["--no-such-option"], 2, said.append)
    reports = await campaign.play(["random"])
    assert [len(report.violations) for report in reports.values()] == [1]
    assert any("no-such-option" in line for line in said)


@pytest.mark.parametrize(
    ("figure", "is_reached"),
    [
        (Figure("rate", 5_000, least=5_000), True),
        (Figure("rate", 4_999.9, least=5_000), False),
        (Figure("lost", 0, most=0), True),
        (Figure("lost", 1, most=0), False),
        (Figure("seen", 7), True),
    ],
)
def test_a_figure_is_judged_by_its_bounds_and_a_missed_one_is_not_green(figure: Figure, *, is_reached: bool) -> None:
    assert figure.is_reached is is_reached
    assert Report(1, figures=[figure]).is_green is is_reached
