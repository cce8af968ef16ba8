"""Services of their own under floods: of sign-ins, and of everything else at once (`bench.login_flood`, `bench.abuse`).

`make fuzz` runs them before everything else, with the machine for themselves, so the bounds are the targets.
"""

import os

import pytest
from bench.abuse import GROWTH, abuse
from bench.login_flood import flood
from tests.fuzz.parameters import Parameters
from tests.fuzz.report import Report

FLOOD_SECONDS = 15.0
ABUSE_SECONDS = float(os.environ.get("FUZZ_ABUSE_SECONDS") or 60)


@pytest.mark.timeout(300)
@pytest.mark.row("A-23")
async def test_a_flood_of_sign_ins_is_shed_and_validation_does_not_feel_it(report: Report) -> None:
    [found] = await flood(seconds=FLOOD_SECONDS, validations=[50.0])
    report.keep(
        "login-flood",
        {"validate p99 ms": round(found.p99, 1), "lags within 20 ms": round(found.lags, 5), **found.logins},
    )
    assert found.retry_after
    assert set(found.logins) <= {"401", "503", "-"}
    assert found.logins["503"] > found.logins["401"]
    assert found.held, (found.p99, found.lags)


@pytest.mark.timeout(ABUSE_SECONDS + 300)
@pytest.mark.row("A-15")
async def test_abuse_of_every_kind_leaves_no_memory_behind(parameters: Parameters, report: Report) -> None:
    found = await abuse(seconds=ABUSE_SECONDS, seed=parameters.seed)
    report.keep("abuse", {f"{name} grown MB": round(grown, 1) for name, grown in found.growth.items()})
    assert all(grown <= GROWTH for grown in found.growth.values()), found.growth
    assert all("500" not in statuses for statuses in found.answers.values()), found.answers
