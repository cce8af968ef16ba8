"""Lists in pages, as every service offers them (PRD 4.2, 4.3): the bounds of a page and its `pagination` object."""

from typing import Annotated, Generic, TypeVar

import msgspec

T = TypeVar("T")

PageNumber = Annotated[int, msgspec.Meta(ge=1)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=100)]

_LAST_OFFSET = 2**63 - 1


class Pagination(msgspec.Struct, frozen=True):
    """Where a page stands in its list; `total_pages` is 0 for an empty list."""

    page: int
    limit: int
    total_items: int
    total_pages: int


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    data: list[T]
    pagination: Pagination


def page(data: list[T], *, number: int, limit: int, total_items: int) -> Page[T]:
    """One page with its place in the list."""
    return Page(data, Pagination(number, limit, total_items, -(-total_items // limit)))


def offset(number: int, limit: int) -> int:
    """How many rows stand before a page; a page past every table is an empty one, not an overflow (R40)."""
    return min((number - 1) * limit, _LAST_OFFSET)
