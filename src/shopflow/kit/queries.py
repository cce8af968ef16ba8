"""Query strings as strict as bodies: a parameter is given once, and a whole number is written in digits (R40).

Litestar reads texts loosely: `1.0` and `1e0` as 1, of a repeated parameter the last one. Unknown ones stay ignored.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litestar import Request
from litestar.enums import ParamType
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition

from shopflow.kit.problems import FieldError, invalid

_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)


class StrictQueries:
    """The `before_request=` of an application: it runs behind the guards, and before Litestar reads the parameters."""

    def __init__(self) -> None:
        self._declared: dict[HTTPRouteHandler, Mapping[str, bool]] = {}

    async def __call__(self, request: Request[Any, Any, Any]) -> None:
        """Looks at the parameters that the handler declares.

        Raises:
            Problem: of kind invalid, naming each parameter that is repeated or is no whole number where one is due.
        """
        if not request.scope["query_string"]:
            return
        handler = request.route_handler
        if (declared := self._declared.get(handler)) is None:
            declared = self._declared[handler] = dict(_parameters(handler))
        if broken := list(_broken(request, declared)):
            raise invalid(*broken)


def _parameters(handler: HTTPRouteHandler) -> Iterator[tuple[str, bool]]:
    """The name on the wire of each query parameter, and whether it is a whole number."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        meant = field.kwarg_definition
        if isinstance(meant, ParameterKwarg) and meant.param_type is ParamType.QUERY:
            yield meant.name or meant.query or name, _is_whole(field)


def _is_whole(field: FieldDefinition) -> bool:
    return field.annotation is int or any(inner.annotation is int for inner in field.inner_types)


def _broken(request: Request[Any, Any, Any], declared: Mapping[str, bool]) -> Iterator[FieldError]:
    for name, given in request.query_params.dict().items():
        if name not in declared:
            continue
        if len(given) > 1:
            yield FieldError(name, "must be given once")
        elif declared[name] and not _WHOLE.fullmatch(given[0]):
            yield FieldError(name, "must be a whole number")
