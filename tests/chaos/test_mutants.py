"""Each known bug can still be put into the services: what it changes is there, exactly once."""

from pathlib import Path

import pytest
from tests.chaos.mutants import MUTANTS, Mutant, mutated
from tests.chaos.rows import CUT, KILLED


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_known_bug_can_be_put_back(mutant: Mutant, tmp_path: Path) -> None:
    mutated(mutant, tmp_path)
    assert set(mutant.rows) <= {*KILLED, *CUT, "E-1"}
