"""A refresh family: the chain of refresh tokens that one sign-in began, and what a token of it is good for (A1-A4).

Pure: the caller brings the rows and the instant, both from the database, so that all instances agree exactly.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

IDLE: Final = timedelta(days=30)
"""How long a refresh token lives, and so how long a session may rest (PRD 4.1)."""

LIFETIME: Final = timedelta(days=90)
"""How long a family lives at most, however often it is refreshed (A15)."""

SAME_MOMENT: Final = timedelta(seconds=10)
"""How long any retired token still gives the newest one, from its own first use on, inclusive: concurrent tabs (A3)."""

LOST_ANSWER: Final = timedelta(minutes=5)
"""How long a retired token still gives its successor while that was never used, inclusive: a lost answer (A2)."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One refresh token of a family. `first_used_at` is when it was retired; None for the newest."""

    sequence: int
    jti: UUID
    issued_at: datetime
    expires_at: datetime
    first_used_at: datetime | None = None


class Ending(StrEnum):
    """Why a family ended before its time; stored with it."""

    REUSE = "reuse"
    LOGOUT = "logout"
    REVOCATION = "revocation"
    DEACTIVATION = "deactivation"
    PASSWORD = "password"  # noqa: S105 - the name of a reason


class Rotate(msgspec.Struct, frozen=True):
    """The token is the newest: retire it, and issue its successor."""


class Repeat(msgspec.Struct, frozen=True):
    """The token was used a moment ago: answer this one again, and issue nothing new."""

    link: Link


class Refuse(msgspec.Struct, frozen=True):
    """The token is too old."""


class Reuse(msgspec.Struct, frozen=True):
    """The token was retired long ago: two hold it, and one of them stole it. End the family (A4)."""


Verdict = Rotate | Repeat | Refuse | Reuse


def judge(shown: Link, *, child: Link | None, newest: Link, now: datetime) -> Verdict:
    """What a refresh token is good for.

    Args:
        shown: the token that somebody shows.
        child: its successor, if it has one.
        newest: the last token of the family.
        now: the instant, in the database's clock.
    """
    if shown.expires_at <= now:
        return Refuse()
    if shown.first_used_at is None:
        return Rotate()
    since = now - shown.first_used_at
    if child is not None and child.first_used_at is None and since <= LOST_ANSWER:
        return Repeat(child)
    return Repeat(newest) if since <= SAME_MOMENT else Reuse()


def link(sequence: int, *, jti: UUID, now: datetime, ends_at: datetime) -> Link:
    """A token issued now, in a family that ends at `ends_at`."""
    issued = now.replace(microsecond=0)
    return Link(sequence=sequence, jti=jti, issued_at=issued, expires_at=min(issued + IDLE, ends_at))
