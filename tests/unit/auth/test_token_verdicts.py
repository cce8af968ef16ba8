"""Good, forged and broken tokens, made by dice: our verdict is PyJWT's, but for the rules we add.

Two thousand of them here; a hundred thousand in `make fuzz`.
"""

import pytest
from tests.fuzz.verdicts import compared


@pytest.mark.row("A-1", "A-21", "A-22")
def test_verdicts_about_mutated_tokens_are_those_of_pyjwt() -> None:
    found = compared(2000, seed=1)
    assert found.differences == []
    assert found.judged / 10 < found.held < found.judged / 2
    assert len(found.stricter) >= 8  # each rule that we add was put to the test
