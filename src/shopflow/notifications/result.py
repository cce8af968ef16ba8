"""What came of one attempt, and what that means for its notification. Pure.

A channel says what its provider answered; the rest, that nothing was sent and why, is said here.
"""

from typing import TypeAlias, assert_never

import msgspec

from shopflow.notifications.channels import Accepted, Adopted, Failed, InDoubt, Misconfigured, Outcome, Rejected
from shopflow.notifications.notification import LONGEST_REFERENCE, ChannelName, DeliveryStatus, Progress


class Suppressed(msgspec.Struct, frozen=True):
    """Nothing was sent, because this recipient must not be written to any more (D6)."""

    cause: str


class Late(msgspec.Struct, frozen=True):
    """Nothing was sent, because this process stood still for so long that the claim may be another's (K20)."""


class GivenUp(msgspec.Struct, frozen=True):
    """Nothing was sent, because of what earlier attempts left in doubt; an operator has to decide."""

    code: str
    reason: str


class Unread(msgspec.Struct, frozen=True):
    """Nothing was sent, because the list that would tell what became of an attempt in doubt could not be read."""

    trouble: Failed


Result: TypeAlias = Outcome | Adopted | Suppressed | Late | GivenUp | Unread


def progress_after(channel: ChannelName, result: Result, *, enough: bool, last: bool, probe: bool) -> Progress:
    """What a result means for what happens next (D2, D4, D8)."""
    match result:
        case Accepted() | Adopted() | Rejected() | Suppressed():
            return Progress.SETTLED
        case GivenUp():
            return Progress.EXHAUSTED
        case Misconfigured() | Failed(throttled=True) | Late() | Unread():
            return Progress.WAIT
        case InDoubt() if channel is ChannelName.EMAIL and enough:
            return Progress.EXHAUSTED  # another one could be one too many
        case InDoubt() if last and channel is ChannelName.SMS:
            return Progress.WAIT  # the provider's list has the last word
        case Failed() | InDoubt():
            return Progress.WAIT if probe else Progress.EXHAUSTED if last else Progress.RETRY
        case _:
            assert_never(result)


def counts(result: Result) -> bool:
    """Whether this try is one of the ladder's: a send that a passing fault kept from going through."""
    return isinstance(result, InDoubt) or (isinstance(result, Failed) and not result.throttled)


def status_after(result: Result, progress: Progress) -> DeliveryStatus:
    """How its notification stands then."""
    if isinstance(result, Accepted | Adopted):
        return DeliveryStatus.SENT
    return DeliveryStatus.QUEUED if progress in {Progress.RETRY, Progress.WAIT} else DeliveryStatus.FAILED


def described(result: Result) -> tuple[str, str | None, str | None, str | None]:
    """A result as the attempt's columns: outcome, code, provider_ref, reason."""
    match result:
        case Accepted(provider_ref):
            return "accepted", None, provider_ref[:LONGEST_REFERENCE], None
        case Adopted(provider_ref):
            return "adopted", None, provider_ref[:LONGEST_REFERENCE], "found in the provider's list"
        case Rejected(kind, code, reason):
            return "rejected", code, None, f"{kind} refused: {reason}"
        case Failed(code, reason) | Unread(Failed(code, reason)):
            return "failed", code, None, reason
        case Misconfigured(code, reason):
            return "misconfigured", code, None, reason
        case InDoubt(reason):
            return "in_doubt", None, None, f"it may have been sent: {reason}"
        case Suppressed(cause):
            return "suppressed", "suppressed", None, f"nothing is sent to this recipient any more: {cause}"
        case Late():
            return "late", None, None, "nothing was sent: the claim may have been another's"
        case GivenUp(code, reason):
            return "failed", code, None, reason
        case _:
            assert_never(result)
