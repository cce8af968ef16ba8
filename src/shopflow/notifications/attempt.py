"""What an attempt to deliver says about the trouble there was (D2). Pure."""

from enum import StrEnum
from typing import Final


class Trouble(StrEnum):
    """What kind of trouble kept an attempt from going through."""

    PERMANENT_RECIPIENT = "permanent-recipient"
    PERMANENT_CONTENT = "permanent-content"
    TRANSIENT = "transient"
    CONFIGURATION = "configuration"
    IN_DOUBT = "in-doubt"


UNFINISHED: Final = "unfinished"
"""The outcome of an attempt that runs, or whose process died."""

_BY_OUTCOME: Final = {
    "failed": Trouble.TRANSIENT,
    "late": Trouble.TRANSIENT,
    "misconfigured": Trouble.CONFIGURATION,
    "suppressed": Trouble.PERMANENT_RECIPIENT,
    "in_doubt": Trouble.IN_DOUBT,
}


def trouble(outcome: str | None, reason: str | None) -> Trouble | None:
    """The trouble of an attempt, by its columns; None for one that went through, or has no end yet.

    What a provider refused for good has `recipient` or `content` as the first word of its reason.
    """
    if outcome == "rejected":
        of_recipient = (reason or "").startswith("recipient")
        return Trouble.PERMANENT_RECIPIENT if of_recipient else Trouble.PERMANENT_CONTENT
    return None if outcome is None else _BY_OUTCOME.get(outcome)
