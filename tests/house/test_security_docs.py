"""docs/security.md is compared with the tests: each requirement of the ASVS once, each named test exists.

The ids and levels are facts in a file beside; the wording of the table is ours.
"""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from tests.house.test_decisions import functions
from tests.house.test_documented import SERVICES, rows, section

from shopflow.kit.settings import variables

VERDICTS = {"holds", "does not apply", "deployment's", "not met"}
A_REASON = 3
"""Words that make a reason at least."""

TEST = re.compile(r"`(tests/[\w./-]+\.py)::(\w+)`")
LINK = re.compile(r"\[[^\]]+\]\([^)]+\)")


@pytest.fixture(scope="session")
def page(root: Path) -> str:
    return (root / "docs" / "security.md").read_text()


@pytest.fixture(scope="session")
def asvs(page: str) -> list[list[str]]:
    """The rows of the ASVS table: id, level, what it asks, verdict, evidence."""
    found = [[cell.rstrip(" |") for cell in cells] for cells in rows(section(page, "## OWASP ASVS 5.0"))]
    return [cells for cells in found if re.fullmatch(r"V\d+\.\d+\.\d+", cells[0])]


def test_every_requirement_of_levels_1_and_2_stands_in_the_table_once(root: Path, asvs: list[list[str]]) -> None:
    known = (root / "tests" / "house" / "asvs_5_0_levels_1_and_2.txt").read_text().splitlines()
    assert [" ".join(cells[:2]) for cells in asvs] == [line for line in known if not line.startswith("#")]


def test_every_requirement_has_a_verdict_and_few_words_of_ours(asvs: list[list[str]]) -> None:
    assert {cells[3] for cells in asvs} == VERDICTS
    assert [cells[0] for cells in asvs if not 1 < len(cells[2].split()) < 16] == []


def test_the_verdicts_are_counted_right(page: str, asvs: list[list[str]]) -> None:
    said = " ".join(section(page, "## OWASP ASVS 5.0").split())
    counted = {verdict: sum(cells[3] == verdict for cells in asvs) for verdict in VERDICTS}
    assert f"Of {len(asvs)}, {counted['holds']} hold, {counted['does not apply']} do not apply, " in said
    theirs, missed = counted["deployment's"], counted["not met"]
    assert f"{theirs} are the deployment's, {missed} are not met." in said


def test_what_holds_names_a_test_or_a_document(asvs: list[list[str]]) -> None:
    held = [cells for cells in asvs if cells[3] == "holds"]
    assert [cells[0] for cells in held if not (TEST.search(cells[4]) or LINK.search(cells[4]))] == []


def test_what_does_not_hold_has_a_reason(asvs: list[list[str]]) -> None:
    others = [cells for cells in asvs if cells[3] != "holds"]
    assert [cells[0] for cells in others if len(TEST.sub("", cells[4]).split()) < A_REASON] == []


def test_every_test_that_is_named_exists(root: Path, page: str) -> None:
    missing = [
        f"{file}::{function}"
        for file, function in TEST.findall(page)
        if not (root / file).is_file() or function not in functions(root / file)
    ]
    assert sorted(set(missing)) == []


def test_every_attack_that_is_named_is_carried_out(root: Path, page: str) -> None:
    campaign = (root / "tests" / "attack" / "campaign.py").read_text()
    named = {(Path(file).stem, function) for file, function in TEST.findall(page) if file.startswith("tests/attack/")}
    assert {f"{module}.{function}" for module, function in named if f"    {module}.{function},\n" not in campaign} <= {
        "watch.complaints"  # looks at the answers of all of them
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_secret_of_a_service_can_be_rotated_by_the_book(service: str, page: str) -> None:
    book = section(page, "## How to rotate every secret")
    settings = import_module(f"shopflow.{service}.settings").Settings
    secrets = {each.name.removesuffix("_PREVIOUS") for each in variables(settings) if each.secret}
    assert {name for name in secrets if name not in book} == set()


def test_every_secret_of_a_platform_can_be_rotated_by_the_book(page: str) -> None:
    book = section(page, "### What `make up` made")
    fields = import_module("shopflow.local.secrets").Secrets.__dataclass_fields__
    assert {name for name in fields if f"`{name}`" not in book} == set()


def test_every_package_is_pinned_and_has_its_hash(root: Path) -> None:
    for name in ("run", "dev"):
        text = (root / "requirements" / f"{name}.txt").read_text()
        entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
        assert len(entries) > 20
        assert [
            entry for entry in entries if not re.match(r"[\w.\-\[\]]+==\S+.*--hash=sha256:", entry, re.DOTALL)
        ] == []


def test_the_linter_forbids_what_the_table_says_it_forbids(root: Path) -> None:
    """S102 and S307 (eval), S324 (weak hashes), S602 to S606 (shells): the whole family is on, in the services too."""
    ruff = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    waived = {rule for path, rules in ruff["per-file-ignores"].items() if "src" in path for rule in rules}
    waived |= set(ruff["ignore"])
    assert waived & {"S", "S102", "S307", "S324", "S602", "S604", "S605", "S606"} == set()
