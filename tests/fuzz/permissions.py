"""Who can succeed at which operation at all, whatever else a request says (PRD 8, A10, R7, R19, R30)."""

from typing import Final

WITHOUT_A_TOKEN: Final = ("junk", "nobody")

FOR_ADMINS: Final = frozenset(
    {
        "GET /auth/users",
        "POST /auth/service-tokens/revoke",
        "PATCH /orders/{order_id}/status",
        "POST /notifications/{notification_id}/resend",
        "GET /notifications/dead-letters",
        "GET /notifications/dead-letters/{dead_letter_id}",
        "POST /notifications/dead-letters/{dead_letter_id}/replay",
        "POST /notifications/dead-letters/{dead_letter_id}/discard",
        "POST /notifications/dead-letters/replay",
    }
)

FOR_SERVICES: Final = frozenset({"POST /auth/validate", "GET /auth/users/{user_id}", "GET /orders/{order_id}"})
"""All that a service may do besides what everybody may: it reads."""

ENDS_TOKENS: Final = frozenset(
    {"PATCH /auth/users/{user_id}", "DELETE /auth/users/{user_id}", "POST /auth/service-tokens/revoke"}
)
"""What an admin can do to the callers themselves."""


def may_succeed(caller: str, operation: str, *, is_protected: bool) -> bool:
    """Whether an answer below 400 is possible; each of its kind needs further rights to the very thing."""
    if not is_protected or caller == "admin":
        return True
    if caller in WITHOUT_A_TOKEN:
        return False
    return operation in FOR_SERVICES if caller == "service" else operation not in FOR_ADMINS
