"""Which orders a list holds, and in what order: the parameters of `GET /orders` as bounds that the store can use. Pure.

Everybody lists their own orders; admins may also ask for another user's or for everybody's (R42).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from shopflow.contracts.fields import identifier, instant
from shopflow.contracts.identity import Caller
from shopflow.contracts.orders import Status
from shopflow.kit.pages import Position, not_of_this_list, resumed
from shopflow.kit.problems import FieldError, forbidden, invalid

_SHAPE: Final = "00000000-0000-0000-0000-000000000000"


class SortBy(StrEnum):
    """The columns that a list may be sorted by (R41)."""

    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    TOTAL_AMOUNT = "total_amount"
    STATUS = "status"


class Direction(StrEnum):
    """Which way a list is sorted."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an admin may ask for beyond everybody's parameters, as texts from the query."""

    user_id: str | None = None
    scope: str | None = None
    id_prefix: str | None = None
    created_from: str | None = None
    created_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which orders a list holds; None does not narrow it. Ids go from first to last, instants from first to before."""

    user_id: UUID | None = None
    status: Status | None = None
    id_first: UUID | None = None
    id_last: UUID | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """A walk along a list, and where it stands: behind the row with this value and this id, or at the beginning."""

    way: str
    value: Any = None
    id: UUID | None = None


def bearing(cursor: str, narrowed: Filter, *, sort_by: SortBy, direction: Direction) -> Bearing:
    """Where a walk along this list goes on.

    Raises:
        Problem: of kind invalid, for a cursor that is not of this list.
    """
    way = f"orders {narrowed} {sort_by} {direction}"
    end = resumed(cursor, way=way)
    if end is None:
        return Bearing(way=way)
    try:
        return Bearing(way=way, value=_SORTED[sort_by](end.value), id=end.id)
    except ValueError:  # made up, with a seal that fits
        raise not_of_this_list() from None


def end(value: Any, id_: UUID) -> Position:
    """The position of a row that has this value in the column that the list is sorted by."""
    return Position(value.isoformat() if isinstance(value, datetime) else str(value), id_)


def narrowed(caller: Caller, status: Status | None, asked: Asked) -> Filter:
    """The orders that this caller asked for.

    Raises:
        Problem: forbidden when anybody but an admin asks for what only admins may; invalid for texts that name nothing.
    """
    if not caller.is_admin:
        if asked != Asked():
            raise forbidden("Only admins may list by user_id, scope, id_prefix, created_from or created_to.")
        return Filter(user_id=caller.user_id, status=status)
    if errors := list(_broken(asked)):
        raise invalid(*errors)
    everybody = asked.scope == "all"
    first, last = id_bounds(asked.id_prefix) if asked.id_prefix else (None, None)
    return Filter(
        user_id=UUID(asked.user_id) if asked.user_id else None if everybody else caller.user_id,
        status=status,
        id_first=first,
        id_last=last,
        created_from=_instant(asked.created_from),
        created_before=_instant(asked.created_to),
    )


def id_bounds(prefix: str) -> tuple[UUID, UUID]:
    """The first and the last id that begins with `prefix`, which is the beginning of a UUID's canonical form.

    Raises:
        ValueError: no UUID begins like this.
    """
    if not prefix or re.sub("[0-9a-fA-F]", "0", prefix, flags=re.ASCII) != _SHAPE[: len(prefix)]:
        raise ValueError("not the beginning of a UUID")
    rest = _SHAPE[len(prefix) :]
    return UUID(prefix + rest), UUID(prefix + rest.replace("0", "f"))


def _amount(text: str) -> Decimal:
    """A stored amount, written as PostgreSQL's numbers are: no other text becomes a number of the statement."""
    if re.fullmatch(r"\d{1,8}(\.\d{1,2})?", text, re.ASCII) is None:
        raise ValueError("not an amount")
    return Decimal(text)


_SORTED: Final[dict[SortBy, Callable[[str], Any]]] = {
    SortBy.CREATED_AT: instant,
    SortBy.UPDATED_AT: instant,
    SortBy.TOTAL_AMOUNT: _amount,
    SortBy.STATUS: Status,
}


def _broken(asked: Asked) -> Iterator[FieldError]:
    if asked.user_id is not None and identifier(asked.user_id) is None:
        yield FieldError("user_id", "must be a UUID")
    if asked.scope not in {None, "all"}:
        yield FieldError("scope", "must be all")
    if asked.id_prefix is not None:
        try:
            id_bounds(asked.id_prefix)
        except ValueError:
            yield FieldError("id_prefix", "must be the beginning of a UUID")
    for name, text in (("created_from", asked.created_from), ("created_to", asked.created_to)):
        try:
            _instant(text)
        except ValueError:
            yield FieldError(name, "must be an RFC 3339 timestamp with an offset")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else instant(text)
