"""auth-service and order-service as notification-service meets them, replaced at the transport by small applications.

They answer as PRD 4.1, 7.1, 7.2 and 7.3 say, remember what they were asked, and can be told to answer otherwise.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from shopflow.contracts.identity import Caller, Profile, Role
from shopflow.contracts.orders import Order
from shopflow.kit.answers import JsonResponse
from shopflow.kit.metrics import Metrics
from shopflow.kit.service import Application

SERVICE_TOKEN = "the-service-token"

AnyRequest = Request[Any, Any, Any]


@dataclass
class Neighbour:
    """What both have in common.

    Attributes:
        status: answered instead of what was asked for, when set, with `body`.
        accepts: the service token that holds.
        asked: the path and the headers of every question.
    """

    status: int | None = None
    body: Any = field(default_factory=dict)
    accepts: str = SERVICE_TOKEN
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def refusal(self, request: AnyRequest) -> JsonResponse[Any] | None:
        """The answer to a question that is not to be answered."""
        self.asked.append((request.url.path, dict(request.headers)))
        if self.status is not None:
            return JsonResponse(self.body, status_code=self.status)
        if request.headers.get("authorization") != f"Bearer {self.accepts}":
            return JsonResponse({"type": "urn:shopflow:problem:token-invalid"}, status_code=401)
        return None


@dataclass
class Auth(Neighbour):
    """auth-service."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)

    def token(self, role: Role, caller_id: str | None = None) -> str:
        """A token of a caller of this role, a new one unless named."""
        token = f"token-{uuid4().hex}"
        self.callers[token] = Caller(caller_id or str(uuid4()), "jane.doe@example.com", role)
        return token

    def application(self) -> Application:
        """What is served."""

        @get("/auth/users/{user_id:str}")
        async def profile(request: AnyRequest, user_id: FromPath[str]) -> JsonResponse[Any]:
            return self.refusal(request) or _found(self.profiles.get(user_id))

        @post("/auth/validate", status_code=200)
        async def validate(request: AnyRequest) -> JsonResponse[Any]:
            caller = self.callers.get(request.headers.get("authorization", "").removeprefix("Bearer "))
            if caller is None:
                return JsonResponse({"type": "urn:shopflow:problem:token-invalid"}, status_code=401)
            return JsonResponse({"valid": True, "user": caller})

        return _application("auth-service", profile, validate)


@dataclass
class Orders(Neighbour):
    """order-service."""

    orders: dict[str, Order] = field(default_factory=dict)

    def application(self) -> Application:
        """What is served."""

        @get("/orders/{order_id:str}")
        async def order(request: AnyRequest, order_id: FromPath[str]) -> JsonResponse[Any]:
            return self.refusal(request) or _found(self.orders.get(order_id))

        return _application("order-service", order)


def _found(value: Profile | Order | None) -> JsonResponse[Any]:
    return JsonResponse({}, status_code=404) if value is None else JsonResponse(value)


def _application(name: str, *routes: HTTPRouteHandler) -> Application:
    return Application(
        name=name,
        summary="A stand-in.",
        routes=routes,
        resources=[],
        dependencies=[],
        metrics=Metrics(),
        max_body=1000,
    )
