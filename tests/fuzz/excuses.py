"""What Schemathesis calls a failure and is none: each excuse is as narrow as it can be and says why.

All are about requests that fit the document and are refused, since the body breaks a rule that JSON Schema cannot say.
Such an answer is excused only when every rule it names is on the list.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from schemathesis.core.failures import Failure
from schemathesis.generation.case import Case
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree


@dataclass(frozen=True)
class Excuse:
    """A rule that a document cannot say.

    Attributes:
        operation: whose rule it is, as `POST /orders`; a regular expression.
        field: which field breaks it; a regular expression.
        rule: what the answer says; a regular expression.
        reason: why the document does not say it.
    """

    operation: str
    field: str
    rule: str
    reason: str

    def holds(self, operation: str, field: str, rule: str) -> bool:
        """Whether it is about this rule."""
        return all(
            re.fullmatch(pattern, text)
            for pattern, text in ((self.operation, operation), (self.field, field), (self.rule, rule))
        )


EXCUSES: Final = (
    Excuse(
        "(POST|PATCH) .*", "body", ".*(NUL|surrogate).*",
        "no string anywhere may hold NUL or half a surrogate pair, in members that nobody reads either",
    ),
    Excuse(".*", ".*", "must be UTF-8 without NUL", "no parameter may hold NUL either"),
    Excuse(
        "POST /auth/(register|password)", "(new_)?password", "must have .*",
        "classes of characters are Unicode's, and bcrypt's limit counts bytes",
    ),
    Excuse(
        "POST /notifications/dead-letters/replay", "filter.parked_(from|to)", "must be an RFC 3339 timestamp .*",
        "years before 1 and leap seconds have the form, but are no instants here",
    ),
    Excuse("POST /auth/register", "email", "must be an e-mail address", "addresses have finer points (R14)"),
    Excuse(
        "(POST|PATCH) .*", "(first_name|last_name|.*product_name|.*street|.*city|.*zip_code|.*state)",
        "must not (be blank|have line breaks)", "blanks and line breaks are what Unicode calls so",
    ),
    Excuse("POST /orders", "shipping_address.state", "is required in the US", "depends on the country (R37)"),
    Excuse(
        "PATCH /orders/{order_id}/status", "status", "(can only become|cannot change from) .*",
        "which states can follow depends on the order's own",
    ),
    Excuse(".*", "page", "must not be given beside cursor", "two parameters that exclude each other"),
    Excuse(
        ".*", "(issued_before|created_from|created_to)", "must be an RFC 3339 .*",
        "years before 1 and leap seconds have the form, but are no instants here",
    ),
    Excuse("POST /auth/service-tokens/revoke", "issued_before", "must not lie in the future", "a form has no clock"),
    Excuse(".*", "cursor", "must come from the answer before, .*", "which cursors there are is for the service to say"),
    Excuse(".*", "If-Match", "must be .*", "Schemathesis makes texts that only a part of the pattern holds for"),
    Excuse("POST /orders", r"items\[\d+\].quantity", "must be a whole number", "JSON Schema takes 1.0 for one (R74)"),
    Excuse("POST /orders", r"items\[\d+\].unit_price", ".*", "decimals depend on the currency (R71)"),
    Excuse(
        "POST /orders", "(items.*|total_amount)", "(subtotal )?must be at most .*",
        "subtotals and totals are products (R71)",
    ),
)  # fmt: skip


CODES: Final = {
    (412, "precondition-failed"): "which tag matches depends on the state of the order",
    (422, "idempotency-key-reused"): "which keys are taken depends on what came before",
}


def reason_for(failure: Failure, case: Case[Any], response: Any) -> str | None:
    """The reason why a failure is none, or None."""
    if isinstance(failure, UseAfterFree) and "/auth/users/{user_id}" in case.operation.label:
        return "who is deactivated stays on record, and admins still read and reactivate them"
    if not isinstance(failure, RejectedPositiveData):
        return None
    problem = json.loads(response.content)
    if response.status_code != 400:
        return CODES.get((response.status_code, problem["type"].removeprefix("urn:shopflow:problem:")))
    reasons = [_reason(case.operation.label, each) for each in problem.get("errors", [])]
    return reasons[0] if reasons and all(reasons) else None


def _reason(operation: str, error: dict[str, str]) -> str | None:
    for excuse in EXCUSES:
        if excuse.holds(operation, error["field"], error["rule"]):
            return excuse.reason
    return None
