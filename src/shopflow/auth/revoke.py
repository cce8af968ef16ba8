"""Revokes the tokens of a service, by its name and the time they were issued (R7)."""

from datetime import datetime

from shopflow.auth import revocations
from shopflow.auth.tokens import CLOCK_SKEW
from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import FieldError, invalid


async def revoke(database: Database, name: str, *, issued_before: datetime, by: str) -> None:
    """Refuses, from now on, every token of this service that was issued before an instant.

    Args:
        database: auth-service's own.
        name: one of `tokens.SERVICES`.
        issued_before: in the past; what lies up to 30 s ahead is a clock that is fast, and counts as now.
        by: who wants it: a user's id, or `cli:` and a name.

    Raises:
        Problem: of kind invalid, when the instant lies in the future.
    """
    if not await revocations.revoke(database, name, issued_before=issued_before, by=by, tolerance=CLOCK_SKEW):
        raise invalid(FieldError("issued_before", "must not lie in the future"))
    logs.logger("security").warning("service_tokens_revoked", name=name, issued_before=issued_before, by=by)
