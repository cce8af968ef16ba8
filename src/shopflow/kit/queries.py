"""Query strings as strict as bodies: a parameter is given once, a whole number is written in digits (R40), and a list
is either paged by number or walked by a cursor.

Litestar reads texts loosely: `1.0` and `1e0` as 1, `null` as a parameter that was left out, of a repeated parameter the
last one. Unknown ones stay ignored.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final

from litestar import Request
from litestar.enums import ParamType
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition

from shopflow.kit.problems import FieldError, invalid

_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)
_NOT_UTF_8: Final = "\ufffd"  # what decoding puts in the place of bytes that are none


class _Form(Enum):
    """What the text of a parameter can be."""

    TEXT = auto()
    WHOLE = auto()
    WORD = auto()


class StrictQueries:
    """The `before_request=` of an application: it runs behind the guards, and before Litestar reads the parameters."""

    def __init__(self) -> None:
        self._declared: dict[HTTPRouteHandler, Mapping[str, _Form]] = {}

    async def __call__(self, request: Request[Any, Any, Any]) -> None:
        """Looks at the parameters that the handler declares.

        Raises:
            Problem: of kind invalid, naming each parameter that is repeated, is no whole number where one is due, or
                contradicts another.
        """
        if not request.scope["query_string"]:
            return
        handler = request.route_handler
        if (declared := self._declared.get(handler)) is None:
            declared = self._declared[handler] = dict(_parameters(handler))
        if broken := list(_broken(request, declared)):
            raise invalid(*broken)


def _parameters(handler: HTTPRouteHandler) -> Iterator[tuple[str, _Form]]:
    """The name on the wire of each query parameter, and what form it has."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        meant = field.kwarg_definition
        if isinstance(meant, ParameterKwarg) and meant.param_type is ParamType.QUERY:
            yield meant.name or meant.query or name, _form(field)


def _form(field: FieldDefinition) -> _Form:
    types = [inner.annotation for inner in field.inner_types] or [field.annotation]
    if int in types:
        return _Form.WHOLE
    return _Form.TEXT if str in types else _Form.WORD


def _broken(request: Request[Any, Any, Any], declared: Mapping[str, _Form]) -> Iterator[FieldError]:
    query = request.query_params.dict()
    if {"page", "cursor"} <= query.keys() & declared.keys():
        yield FieldError("page", "must not be given beside cursor")
    for name, given in query.items():
        if name not in declared:
            continue
        if len(given) > 1:
            yield FieldError(name, "must be given once")
        elif "\0" in given[0] or _NOT_UTF_8 in given[0]:
            yield FieldError(name, "must be UTF-8 without NUL")
        elif declared[name] is _Form.WHOLE and not _WHOLE.fullmatch(given[0]):
            yield FieldError(name, "must be a whole number")
        elif declared[name] is _Form.WORD and given[0].lower() == "null":
            yield FieldError(name, "must be left out or have a value")
