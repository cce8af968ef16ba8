"""docs/reliability.md is compared with the tests: each row of the matrix once, and what it names exists."""

import re
from pathlib import Path

import pytest
from tests.chaos.faults import FAULTS
from tests.chaos.rows import CUT, KILLED
from tests.house.test_decisions import functions
from tests.house.test_documented import rows, section

COUNTS = {"B-": 21, "D-": 18, "E-": 16, "K": 24, "N-": 10, "P-": 17, "T-": 8}
"""How many rows each part of the fault matrix has that this page answers for."""
TEST = re.compile(r"`(tests/[\w./-]+\.py)::(\w+)`")


@pytest.fixture(scope="session")
def page(root: Path) -> str:
    return (root / "docs" / "reliability.md").read_text()


@pytest.fixture(scope="session")
def table(page: str) -> list[list[str]]:
    """The rows of the table of faults: id, fault, what was seen, what shows it."""
    found = [[cell.rstrip(" |") for cell in cells] for cells in rows(section(page, "## The table of faults"))]
    return [cells for cells in found if re.fullmatch(r"K\d+|[A-Z]-\d+", cells[0])]


def test_every_row_of_the_matrix_stands_in_the_table_once(table: list[list[str]]) -> None:
    known = [f"{part}{number}" for part, most in COUNTS.items() for number in range(1, most + 1)]
    assert sorted(cells[0] for cells in table) == sorted(known)


def test_every_row_names_what_shows_it_or_why_nothing_does(table: list[list[str]]) -> None:
    shown = {cells[0] for cells in table if "make " in cells[3] or TEST.search(cells[3])}
    assert [cells[0] for cells in table if cells[0] not in shown and not re.match(r"not \w+", cells[3])] == []


def test_every_test_that_is_named_exists(root: Path, page: str) -> None:
    named = set(TEST.findall(page))
    assert sorted(
        f"{file}::{function}"
        for file, function in named
        if not (root / file).is_file() or function not in functions(root / file)
    ) == []  # fmt: skip


def test_what_chaos_plays_is_said_to_be_played(table: list[list[str]]) -> None:
    said = {cells[0] for cells in table if "make chaos" in cells[3]}
    assert {*KILLED, *CUT, *(fault.row for fault in FAULTS)} <= said
