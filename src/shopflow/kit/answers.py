"""HTTP answers: Structs as JSON with exact decimal numbers, problems as RFC 9457, and strict bodies on the way in."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import Headers
from litestar.dto import AbstractDTO
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.typing import FieldDefinition
from litestar.utils.path import normalize_path

from shopflow.kit import logs, traces
from shopflow.kit.decoding import Decoder, rule
from shopflow.kit.encoding import encoded
from shopflow.kit.problems import FieldError, Kind, Problem, invalid, not_found

T = TypeVar("T")

PROBLEM_TYPE: Final = "application/problem+json"
_PREFIX: Final = "urn:shopflow:problem:"

STATUSES: Final[dict[Kind, tuple[int, str]]] = {
    Kind.INVALID: (400, "Bad Request"),
    Kind.UNAUTHENTICATED: (401, "Unauthorized"),
    Kind.FORBIDDEN: (403, "Forbidden"),
    Kind.NOT_FOUND: (404, "Not Found"),
    Kind.METHOD_NOT_ALLOWED: (405, "Method Not Allowed"),
    Kind.TIMED_OUT: (408, "Request Timeout"),
    Kind.CONFLICT: (409, "Conflict"),
    Kind.PRECONDITION_FAILED: (412, "Precondition Failed"),
    Kind.TOO_LARGE: (413, "Content Too Large"),
    Kind.UNSUPPORTED_TYPE: (415, "Unsupported Media Type"),
    Kind.UNPROCESSABLE: (422, "Unprocessable Content"),
    Kind.TOO_MANY: (429, "Too Many Requests"),
    Kind.HEADERS_TOO_LARGE: (431, "Request Header Fields Too Large"),
    Kind.INTERNAL: (500, "Internal Server Error"),
    Kind.UNAVAILABLE: (503, "Service Unavailable"),
}


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as a caller reads it (RFC 9457). `type` is stable; `errors` names fields and rules, never values."""

    type: str
    title: str
    status: int
    detail: str
    trace_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class JsonResponse(Response[T]):
    """An answer whose decimals are JSON numbers; bytes go out as they are."""

    def render(self, content: Any, media_type: str, enc_hook: Any = None) -> bytes:  # noqa: ARG002 - Litestar's signature
        return content if isinstance(content, bytes) else encoded(content)


class JsonBody(AbstractDTO[T], Generic[T]):
    """Makes Litestar read a body with our strict decoder; use `json_body`."""

    decoder: ClassVar[Decoder[Any]]

    def decode_bytes(self, value: bytes) -> Any:
        _check_type(self.asgi_connection.headers)
        return self.decoder.decode(value)

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Nothing to prepare: the Struct itself is what the handler gets."""

    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Schema:  # noqa: ARG003 - Litestar's
        # A body that may be left out is no `null`.
        meant = [each for each in field_definition.inner_types if not each.is_none_type]
        schema: Schema = schema_creator.for_field_definition(
            meant[0] if field_definition.is_optional else field_definition
        )
        return schema


def json_body(type_: type[T]) -> type[JsonBody[T]]:
    """The `dto=` of a handler whose `data` is a Struct of this type; give `return_dto=None` beside it."""
    return type(f"JsonBodyOf{type_.__name__}", (JsonBody[type_],), {"decoder": Decoder(type_)})  # type: ignore[valid-type]


def problems(*kinds: Kind, limited: bool = True) -> dict[int, ResponseSpec]:
    """The `responses=` of a handler: which kinds of problem it answers, for OpenAPI.

    Args:
        kinds: besides unavailable, which everything can be.
        limited: whether calls are counted, so that there can be too many.
    """
    return {
        STATUSES[kind][0]: ResponseSpec(
            data_container=ProblemBody, description=STATUSES[kind][1], media_type=PROBLEM_TYPE, generate_examples=False
        )
        for kind in (*kinds, *([Kind.TOO_MANY] if limited else []), Kind.UNAVAILABLE)
    }


def answer_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """A problem on the wire: the one place that turns a kind into a status. Its code is kept for the log line."""
    cast("dict[str, Any]", request.scope)["problem"] = problem.code
    status, headers, body = rendered(problem)
    return Response(body, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


def rendered(problem: Problem) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body that a problem is on the wire."""
    status, title = STATUSES[problem.kind]
    headers = {"Content-Type": PROBLEM_TYPE, **problem.headers}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    body = ProblemBody(
        f"{_PREFIX}{problem.code}", title, status, problem.detail, traces.trace_id(), errors=problem.errors
    )
    return status, headers, encoded(body)


def answer_refusal(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, in the same shape as every other problem."""
    return answer_problem(request, _from_litestar(request, error))


def answer_defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A defect of ours: the traceback goes to the log, the caller gets the trace id to quote (H-14)."""
    logs.logger("http").error("unhandled_error", error=type(error).__name__, exc_info=error)
    return answer_problem(
        request, Problem(Kind.INTERNAL, "internal-error", "Something broke on our side; quote the trace id.")
    )


def _from_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    match error:
        case ValidationException():
            return invalid(*_fields(error))
        case NotFoundException():
            return not_found("path")
        case MethodNotAllowedException():
            return Problem(
                Kind.METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This path does not know this method.",
                headers={"Allow": ", ".join(methods_of(request.app, request.scope["path"]))},
            )
        case _ if error.status_code == 413:
            return Problem(Kind.TOO_LARGE, "body-too-large", "The body is larger than this path accepts.")
        case _ if error.status_code < 500:
            return invalid(FieldError("request", "is not well-formed"), code="malformed-request")
        case InternalServerException(detail="client disconnected prematurely"):  # or broke off in broken chunks
            logs.logger("http").warning("request_not_finished")
            return invalid(FieldError("body", "is not finished"), code="malformed-request")
        case _:
            logs.logger("http").error("unhandled_error", error=type(error).__name__, exc_info=error)
            return Problem(Kind.INTERNAL, "internal-error", "Something broke on our side; quote the trace id.")


def methods_of(litestar: Litestar, path: str) -> tuple[str, ...]:
    """The methods that a path knows, as RFC 9110 wants them named; none when there is no such path."""
    known = [method for method in ("GET", "POST", "PATCH", "DELETE") if _knows(litestar, path, method)]
    return (*known, *(["HEAD"] if "GET" in known else []), "OPTIONS") if known else ()


def _knows(litestar: Litestar, path: str, method: str) -> bool:
    try:
        litestar.asgi_router.handle_routing(path=normalize_path(path), method=cast("Any", method))
    except HTTPException:
        return False
    return True


def _fields(error: ValidationException) -> list[FieldError]:
    """Which parameters broke which rules; Litestar's own text names the path that was asked for, ours does not."""
    found = [
        FieldError(str(entry.get("key", "request")), rule(str(entry.get("message", ""))))
        for entry in error.extra or ()
        if isinstance(entry, Mapping)
    ]
    return [FieldError("body", "is required") if each.field == "data" else each for each in found] or [
        FieldError("request", "is not valid")
    ]


def _check_type(headers: Headers) -> None:
    """JSON in UTF-8 and uncompressed; a missing type is read as JSON (R73), two are as good as a wrong one."""
    kind, _, parameters = ", ".join(headers.getall("content-type", ["application/json"])).lower().partition(";")
    if kind.strip() != "application/json" and not kind.strip().endswith("+json"):
        raise Problem(Kind.UNSUPPORTED_TYPE, "unsupported-media-type", "The body must be application/json.")
    charset = parameters.partition("charset=")[2].strip(' "')
    if charset and charset not in {"utf-8", "utf8"}:
        raise Problem(Kind.UNSUPPORTED_TYPE, "unsupported-media-type", "JSON is UTF-8; no other charset is read.")
    if any(coding.lower() != "identity" for coding in headers.getall("content-encoding", [])):
        raise Problem(Kind.UNSUPPORTED_TYPE, "unsupported-encoding", "Compressed bodies are not read.")
