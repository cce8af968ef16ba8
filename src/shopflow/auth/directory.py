"""The SQL of the list of accounts, for admins."""

from functools import cache
from typing import Final

import msgspec

from shopflow.auth.store import USER_COLUMNS, user_of
from shopflow.auth.user import User, normalised_email
from shopflow.contracts.fields import instant
from shopflow.kit.pages import Position, bounds
from shopflow.kit.postgres import Connection
from shopflow.kit.problems import FieldError, invalid

_PAGE: Final = f"""
WITH total AS (SELECT count(*) AS number FROM users WHERE {{matching}}),
page AS (
    SELECT {USER_COLUMNS} FROM users WHERE {{matching}} ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2
)
SELECT total.number AS total_items, page.*
FROM total LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC
"""  # noqa: S608 - a constant list of columns

_STRETCH: Final = f"SELECT {USER_COLUMNS} FROM users WHERE {{matching}} ORDER BY created_at DESC, id DESC LIMIT $1"  # noqa: S608 - a constant list of columns

_FOUND: Final = (
    "(strpos(lower(email), lower({0})) > 0 OR strpos(lower(first_name || ' ' || last_name), lower({0})) > 0"
    " OR starts_with(id::text, lower({0})))"
)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts a list holds; None lets everything through. `q` is a part of name or address, or an id's start."""

    email: str | None = None
    phone: str | None = None
    role: str | None = None
    is_active: bool | None = None
    q: str | None = None


def chosen(*, email: str | None, phone: str | None, role: str | None, is_active: bool | None, q: str | None) -> Filter:
    """The accounts that somebody asks for; what names none at all lets none through.

    Raises:
        Problem: of kind invalid, for a text with a NUL character, which no account has.
    """
    given = {"email": email, "phone": phone, "q": q}
    if broken := [name for name, text in given.items() if text and "\0" in text]:
        raise invalid(*(FieldError(name, "must not hold a NUL character") for name in broken))
    normalised = None if email is None else normalised_email(email) or ""
    return Filter(email=normalised, phone=phone, role=role, is_active=is_active, q=q)


@cache
def _page_statement(columns: tuple[str, ...]) -> str:
    """The statement for a page filtered by these columns: made once for each set, so that each has its own plan."""
    return _PAGE.format(matching=" AND ".join(_conditions(columns, first=3)) or "true")


@cache
def _stretch_statement(columns: tuple[str, ...], *, begun: bool) -> str:
    """As `_page_statement`; the row behind which it begins is compared as a pair."""
    conditions = _conditions(columns, first=2)
    if begun:
        conditions.append(f"(created_at, id) < (${len(columns) + 2}, ${len(columns) + 3})")
    return _STRETCH.format(matching=" AND ".join(conditions) or "true")


def _conditions(columns: tuple[str, ...], *, first: int) -> list[str]:
    return [
        _FOUND.format(f"${number}::text") if column == "q" else f"{column} = ${number}"
        for number, column in enumerate(columns, start=first)
    ]


async def page(connection: Connection, chosen: Filter, *, limit: int, offset: int) -> tuple[list[User], int]:
    """One page of the accounts that a filter lets through, newest first, and how many there are in all."""
    wanted = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
    rows = await connection.fetch(_page_statement(tuple(wanted)), limit, offset, *wanted.values())
    return [user_of(row) for row in rows if row["id"] is not None], rows[0]["total_items"]


async def stretch(
    connection: Connection, chosen: Filter, *, behind: Position | None, limit: int
) -> tuple[list[User], Position | None]:
    """The accounts behind a position, newest first, and the position of the last one when there are more.

    Raises:
        Problem: of kind invalid, when the position is none.
    """
    wanted = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
    begin = bounds(behind, instant)
    statement = _stretch_statement(tuple(wanted), begun=bool(begin))
    found = [user_of(row) for row in await connection.fetch(statement, limit + 1, *wanted.values(), *begin)]
    shown = found[:limit]
    return shown, Position(shown[-1].created_at.isoformat(), shown[-1].id) if len(found) > limit else None
