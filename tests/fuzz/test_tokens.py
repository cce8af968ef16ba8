"""Tokens as attackers make them, by the hundred thousand: our verdict is PyJWT's, but for the rules we add."""

import asyncio

import pytest
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report
from tests.fuzz.verdicts import compared

SHARES = 4


@pytest.mark.timeout(1200)
@pytest.mark.row("A-1", "A-21", "A-22")
@pytest.mark.parametrize("share", range(SHARES))
async def test_verdicts_about_mutated_tokens_are_those_of_pyjwt(
    parameters: Parameters, report: Report, share: int
) -> None:
    report.say(f"tokens: share {share} of {SHARES}")
    found = await asyncio.to_thread(compared, parameters.tokens // SHARES, parameters.seed + share)
    report.keep(f"tokens-{share}", {"judged": found.judged, "held": found.held, "refused by us alone": found.stricter})
    assert found.differences == []
    assert found.judged / 10 < found.held < found.judged / 2
