"""What order-service's paths, queries and headers may hold, as OpenAPI shows it; who reads them judges them.

Ids and conditions are judged by the handlers, since who asks comes before what is asked (R29).
"""

from typing import Annotated, Final
from uuid import UUID

from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from shopflow.contracts.fields import identifier
from shopflow.contracts.identity import Role
from shopflow.kit.openapi import CURSOR_TEXT, INSTANT_TEXT, UUID_TEXT
from shopflow.kit.pages import CURSOR_MEANING
from shopflow.kit.problems import FieldError, invalid
from shopflow.orders import idempotency

TAGS: Final = ["Orders"]
PEOPLE: Final = (Role.CUSTOMER, Role.ADMIN)

_ID_PREFIX: Final = {
    "pattern": (
        "^([0-9a-f]{1,8}|[0-9a-f]{8}-[0-9a-f]{0,4}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{0,4}|"
        "[0-9a-f]{8}(-[0-9a-f]{4}){2}-[0-9a-f]{0,4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{0,12})$"
    ).replace("a-f", "a-fA-F")
}
_TAG: Final = '(W/)?"[!#-~]*"'

OrderId = Annotated[str, PathParameter(description="An order's UUID.", schema_extra=UUID_TEXT)]

PageNumber = Annotated[int, QueryParameter(ge=1, description="1-based; a page past the end is empty.")]
PageSize = Annotated[int, QueryParameter(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, QueryParameter(name="cursor", description=CURSOR_MEANING, schema_extra=CURSOR_TEXT)]
UserId = Annotated[str | None, QueryParameter(description="Admins: whose orders.", schema_extra=UUID_TEXT)]
Scope = Annotated[
    str | None,
    QueryParameter(name="scope", description="Admins: `all` for everybody's orders.", schema_extra={"enum": ["all"]}),
]
IdPrefix = Annotated[str | None, QueryParameter(description="Admins: how the id begins.", schema_extra=_ID_PREFIX)]
CreatedFrom = Annotated[
    str | None, QueryParameter(description="Admins: RFC 3339, inclusive.", schema_extra=INSTANT_TEXT)
]
CreatedTo = Annotated[str | None, QueryParameter(description="Admins: RFC 3339, exclusive.", schema_extra=INSTANT_TEXT)]

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=idempotency.HEADER,
        description="A text of the caller's own for this one order, such as a UUID. However often the request is "
        "repeated with it within 24 hours, there is one order, and every answer is the first one.",
        schema_extra={"pattern": idempotency.PATTERN, "minLength": 1, "maxLength": 255},
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` that the caller read, or several, or `*`: nothing is changed unless the order is still "
        "in that state. Weak tags never match.",
        schema_extra={"pattern": rf"^(\*|{_TAG}( *, *{_TAG})*)$"},
    ),
]

ETAG: Final = ResponseHeader(
    name="ETag",
    value='"pending"',
    documentation_only=True,
    description='The order\'s state as a strong entity tag, such as `"pending"`.',
)
REPLAYED: Final = ResponseHeader(
    name="Idempotency-Replayed",
    value="true",
    documentation_only=True,
    description="`true` when this answer was given before, under the same key.",
)


def named(text: str) -> UUID:
    """The id in a path (R43)."""
    found = identifier(text)
    if found is None:
        raise invalid(FieldError("id", "must be a UUID"))
    return found
