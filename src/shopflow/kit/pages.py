"""Lists in pages, as every service offers them: by number with a total (PRD 4.2, 4.3), or walked by a cursor (B12).

A cursor says where a stretch ended, so that rows that come meanwhile neither repeat nor hide any; nothing is counted.
Pure: which rows come behind a position is the store's business.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from shopflow.kit.problems import FieldError, Problem, invalid

T = TypeVar("T")
V = TypeVar("V")

PageNumber = Annotated[int, msgspec.Meta(ge=1)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=100)]

CURSOR_MEANING: Final = (
    "Walks the list instead of counting pages: empty at first, then the `next_cursor` of the answer before, until that "
    "is null. Holds for the very same list only, and not beside `page`."
)
"""What a `cursor` parameter is, for OpenAPI."""

LONGEST_CURSOR: Final = 512

_LAST_OFFSET = 2**63 - 1
_SEAL: Final = 12


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


class Stretch(msgspec.Struct, Generic[T], frozen=True):
    """One stretch of a walk along a list; `next_cursor` leads on, and is null at the end."""

    data: list[T]
    next_cursor: str | None


class Position(NamedTuple):
    """The last row that was shown: what the list is sorted by, as text, and the row's id, which breaks ties."""

    value: str
    id: UUID


def page(data: list[T], *, number: int, limit: int, total_items: int) -> Page[T]:
    """One page with its place in the list."""
    return Page(data, Pagination(number, limit, total_items, -(-total_items // limit)))


def offset(number: int, limit: int) -> int:
    """How many rows stand before a page; a page past every table is an empty one, not an overflow (R40)."""
    return min((number - 1) * limit, _LAST_OFFSET)


def stretch(data: list[T], *, way: str, end: Position | None) -> Stretch[T]:
    """One stretch of a walk.

    Args:
        data: the rows of the stretch.
        way: as for `resumed`.
        end: the last of them, when there are more behind it.
    """
    return Stretch(data, None if end is None else cursor(way, end))


def cursor(way: str, end: Position) -> str:
    """A position as opaque text of letters, digits, `-` and `_`; it holds for this way only."""
    told = msgspec.json.encode(end)
    return urlsafe_b64encode(_seal(way, told) + told).rstrip(b"=").decode()


def resumed(text: str, *, way: str) -> Position | None:
    """Behind which row a walk goes on; None for the empty text, with which it begins.

    The seal finds accidents and cursors of other lists. It keeps nobody from making one up, and need not: a cursor
    chooses a place in a list that the caller may read anyway.

    Args:
        text: what the caller gave.
        way: everything that decides which rows come in which order: the list, its filters and its sorting.

    Raises:
        Problem: of kind invalid, for every text that `cursor` did not make for this way.
    """
    if not text:
        return None
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= LONGEST_CURSOR else b""
        told = sealed[_SEAL:]
        if sealed[:_SEAL] != _seal(way, told) or cursor(way, end := _POSITION.decode(told)) != text:
            raise not_of_this_list()
    except (ValueError, msgspec.DecodeError) as error:
        raise not_of_this_list() from error
    return end


def bounds(behind: Position | None, read: Callable[[str], V]) -> tuple[V, UUID] | tuple[()]:
    """What a keyset statement compares its rows with: nothing at the beginning of a walk.

    Args:
        behind: where the walk stands.
        read: the value of its text; ValueError when it is none.

    Raises:
        Problem: of kind invalid, when the position is none of this list.
    """
    if behind is None:
        return ()
    try:
        return read(behind.value), behind.id
    except ValueError:
        raise not_of_this_list() from None


def not_of_this_list() -> Problem:
    """The answer to a cursor that was changed, made up, or taken from another list."""
    return invalid(FieldError("cursor", "must come from the answer before, of the same list"))


def _seal(way: str, told: bytes) -> bytes:
    return sha256(sha256(way.encode()).digest() + told).digest()[:_SEAL]


_POSITION: Final = msgspec.json.Decoder(Position)
