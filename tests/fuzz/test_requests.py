"""Requests that nobody thought of, to all three services: no defect, no answer that the documents do not describe."""

import asyncio
from itertools import count

import pytest
from tests.fuzz.campaign import PHASES, campaign_on
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report
from tests.fuzz.stand import Stand

SHARES = {("auth", 1): 0.2, ("auth", 2): 0.2, ("orders", 1): 0.2, ("orders", 2): 0.2, ("notifications", 1): 0.2}
EXAMPLES = 100
GUESSED = {
    "POST /auth/password",
    "POST /auth/refresh",
    "DELETE /auth/sessions/{session_id}",
    "POST /notifications/callbacks/ses",
    "POST /notifications/callbacks/twilio",
}
"""What dice seldom or never succeed at: it needs one's own password, a session of the very person who is named, or a
provider's signature."""

DRIVERS = ("customer", "admin")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("service", "share"), list(SHARES))
async def test_every_operation_answers_generated_requests_as_described(
    stand: Stand, parameters: Parameters, report: Report, service: str, share: int
) -> None:
    campaign = campaign_on(stand, service, await stand.document(service))
    wanted = round(parameters.requests * SHARES[service, share])
    for number in count():
        left = wanted - campaign.figures.requests
        if left <= 0:
            break
        seed = parameters.seed + 1000 * share + number
        driver = DRIVERS[(number + share) % len(DRIVERS)]
        report.say(f"{service} {share}: {campaign.figures.requests} of {wanted} requests; {driver}, seed {seed}")
        # The first round only follows links: whatever the others take, answers that lead on are met.
        phases, most = (PHASES, left) if number else (("stateful",), wanted // 8)
        await asyncio.to_thread(campaign.round, driver, seed=seed, examples=EXAMPLES, most=most, phases=phases)
    report.keep(f"requests-{service}-{share}", campaign.figures.as_json())
    assert campaign.figures.failures == {}
    assert campaign.operations() <= set(campaign.figures.operations())
    assert campaign.unmet() <= GUESSED
    for each in stand.services.values():
        assert each.complaints() == []
        assert each.leaks() == []
