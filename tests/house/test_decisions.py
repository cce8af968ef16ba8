"""Every decision record has its five parts, and what it names as its enforcement exists."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

PARTS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
RECORDS = sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("[0-9]*.md"))


def enforcements(record: Path) -> list[str]:
    """What stands below *Enforced by*: `tests/file.py::test_function`, or `contract: id`."""
    return re.findall(r"^- `([^`]+)`$", record.read_text().split("## Enforced by")[1], re.MULTILINE)


def functions(path: Path) -> set[str]:
    """The names of a file's own functions."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def exists(root: Path, enforcement: str, contracts: set[str]) -> bool:
    """Whether an enforcement is there to fail."""
    if enforcement.startswith("contract: "):
        return enforcement.removeprefix("contract: ") in contracts
    file, _, function = enforcement.partition("::")
    return (root / file).is_file() and function in functions(root / file)


def test_records_are_numbered_without_a_gap_and_listed(root: Path) -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (root / "docs" / "decisions" / "README.md").read_text())
    assert listed == [record.name for record in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_its_number_and_its_five_parts(record: Path) -> None:
    text = record.read_text()
    assert text.startswith(f"# {int(record.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_what_enforces_a_decision_exists(root: Path, record: Path) -> None:
    linted = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contracts = {contract["id"] for contract in linted}
    named = enforcements(record)
    assert named
    assert [each for each in named if not exists(root, each, contracts)] == []
