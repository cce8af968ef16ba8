"""The API's own description: OpenAPI 3.1 at `/openapi.json`, and a page to read and try it at `/docs`, offline too.

Litestar derives the document from the handlers; what it cannot know is said here: exact decimals are JSON numbers, and
an answer may fit several of the shapes that a handler names.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OpenAPIType, Schema, SecurityScheme
from litestar.params import FromPath
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from shopflow.kit.answer_headers import PAGE
from shopflow.kit.pages import LONGEST_CURSOR

BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
"""`security=` of handlers that need a token."""

QUIET: Final = {"quiet": True}
"""`opt=` of handlers that are called so often that a log line for each would drown the others."""

UUID_TEXT: Final = {"format": "uuid", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}
"""`schema_extra=` of a parameter that names an id; the handler judges it, since who asks comes first (R19, R29)."""

INSTANT_TEXT: Final = {"format": "date-time"}
"""`schema_extra=` of a parameter that names an instant."""

CURSOR_TEXT: Final = {"pattern": "^[A-Za-z0-9_-]*$", "maxLength": LONGEST_CURSOR, "examples": [""]}
"""`schema_extra=` of a parameter that is a cursor."""

_MEDIA: Final = {"swagger-ui-bundle.js": "text/javascript", "start.js": "text/javascript", "swagger-ui.css": "text/css"}


def document(*, name: str, summary: str, version: str, routes: Sequence[HTTPRouteHandler]) -> Callable[[], bytes]:
    """A function that answers the document of these routes; it is made at the first call, not at start."""

    @cache
    def made() -> bytes:
        described = Litestar(
            route_handlers=list(routes),
            plugins=[DecimalsAreNumbers()],
            logging_config=None,
            openapi_config=OpenAPIConfig(
                title=name,
                summary=summary,
                version=version,
                path="/only-described",
                render_plugins=[JsonRenderPlugin()],
                components=Components(
                    security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
                ),
            ),
        )
        return msgspec.json.encode(
            _overlapping(_never_null(_with_bodies(described, described.openapi_schema.to_schema())))
        )

    return made


def _with_bodies(described: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Shows the `sample` of each handler's `opt` as the example of its body: what `/docs` fills in to be tried.

    And says which bodies may be left out: Litestar asks for each.
    """
    for route in described.routes:
        for handler in getattr(route, "route_handlers", ()):
            if (sample := handler.opt.get("sample")) is not None:
                for method in handler.http_methods:
                    body = document["paths"][route.path_format][method.lower()]["requestBody"]
                    body["content"]["application/json"]["example"] = sample
                    body["required"] = not handler.parsed_data_field.is_optional
    return document


def _never_null(document: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out, but has no way to be null: Litestar describes what it is when it is left out."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = [shape for shape in schema.get("oneOf", ()) if shape.get("type") != "null"]
    if len(shapes) != 1:
        return schema
    return shapes[0] | {name: value for name, value in schema.items() if name not in {"oneOf", "default"}}


def _overlapping(described: Any) -> Any:
    """Litestar's `oneOf` forbids a value that fits two shapes; what admins see fits the owner's shape too."""
    match described:
        case dict():
            return {"anyOf" if name == "oneOf" else name: _overlapping(below) for name, below in described.items()}
        case list():
            return [_overlapping(below) for below in described]
        case _:
            return described


def pages(name: str, read: Callable[[], bytes]) -> list[HTTPRouteHandler]:
    """The handlers of `/openapi.json` and `/docs`."""
    folder = files("shopflow.kit") / "docs_page"

    @get("/openapi.json", include_in_schema=False, opt=QUIET)
    async def openapi_json() -> Response[bytes]:
        return Response(read(), media_type=MediaType.JSON)

    @get("/docs", include_in_schema=False, opt=QUIET)
    async def docs() -> Response[str]:
        page = Template((folder / "page.html").read_text()).substitute(name=name)
        return Response(page, media_type=MediaType.HTML, headers=PAGE)

    @get("/docs/{part:str}", include_in_schema=False, opt=QUIET)
    async def docs_part(part: FromPath[str]) -> Response[bytes]:
        if part not in _MEDIA:
            raise NotFoundException
        return Response(
            (folder / part).read_bytes(), media_type=_MEDIA[part], headers={"Cache-Control": "max-age=86400"}
        )

    return [openapi_json, docs, docs_part]


class DecimalsAreNumbers(OpenAPISchemaPlugin):
    """Decimals are JSON numbers on our wire; Litestar takes them for strings (R33)."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:  # noqa: ARG002 - Litestar's signature
        return Schema(type=OpenAPIType.NUMBER)
