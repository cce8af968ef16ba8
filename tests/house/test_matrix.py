"""Every row of the fault and bad-input matrix that docs/security.md lists is shown by a test that carries its id."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.house.test_documented import rows, section

SHOWN = {"A": 24, "O": 22, "H": 15, "M": 10}
"""How many rows there are about authentication, orders, HTTP and messages: each must have its test."""

FAULTS = {"B": 21, "D": 18, "N": 10, "T": 8, "E": 16, "P": 17}
"""How many there are about faults, besides kills; docs/reliability.md answers for them and for those."""

KILLS = {f"K{number}" for number in range(1, 25)}
"""The rows about killed processes, whose ids have no hyphen."""


@pytest.fixture(scope="session")
def marked(root: Path) -> dict[str, list[str]]:
    """The tests that carry each id, found without running them; those of the long runs too."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        for test, ids in _marks(path):
            for each in ids:
                found.setdefault(each, []).append(f"{path.relative_to(root)}::{test}")
    return found


def _marks(path: Path) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(path.read_text())):
        for call in _decorators(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.row":
                yield getattr(node, "name", "?"), [str(ast.literal_eval(each)) for each in call.args]


def _decorators(node: ast.AST) -> list[ast.expr]:
    """The marks of a test, a class of tests, a whole file (`pytestmark`), or one set of parameters."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.decorator_list
    if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["pytestmark"]:
        return node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.param":
        marks = next((each.value for each in node.keywords if each.arg == "marks"), None)
        return marks.elts if isinstance(marks, ast.List | ast.Tuple) else [marks] if marks else []
    return []


def ids(counts: dict[str, int]) -> set[str]:
    return {f"{letter}-{number}" for letter, count in counts.items() for number in range(1, count + 1)}


def test_every_row_is_shown_by_a_test(marked: dict[str, list[str]]) -> None:
    assert sorted(ids(SHOWN) - set(marked), key=_in_order) == []


def test_no_test_carries_an_id_that_there_is_not(marked: dict[str, list[str]]) -> None:
    unknown = set(marked) - ids(SHOWN) - ids(FAULTS) - KILLS
    assert {each: marked[each] for each in unknown} == {}


def test_the_document_lists_every_row_once(root: Path) -> None:
    text = section((root / "docs" / "security.md").read_text(), "## Faults and bad input")
    listed = [cells[0] for cells in rows(text) if re.fullmatch(r"[AOHM]-\d+", cells[0])]
    assert listed == sorted(ids(SHOWN), key=lambda each: ("AOHM".index(each[0]), _in_order(each)))


def _in_order(each: str) -> tuple[str, int]:
    letter, _, number = each.partition("-")
    return letter, int(number)
