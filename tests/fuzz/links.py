"""Which answer leads to which request: what the stateful phase follows, beside the links that Schemathesis infers.

Written here and not in the served documents: readers of those see it from the names.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Link:
    """From one operation's answer to other operations' requests.

    Attributes:
        source: an operation, as `POST /orders`.
        status: of its answer.
        pointer: where in the answer's body the value is.
        name: the parameter that takes it; with `in_body`, the member of the body.
        targets: the operations.
    """

    source: str
    status: str
    pointer: str
    name: str
    targets: tuple[str, ...]
    in_body: bool = False


_ORDER: Final = ("GET /orders/{order_id}", "PATCH /orders/{order_id}/status", "GET /orders/{order_id}/history")
_USER: Final = ("GET /auth/users/{user_id}", "PATCH /auth/users/{user_id}", "DELETE /auth/users/{user_id}")
_REFRESH: Final = ("POST /auth/refresh", "POST /auth/logout")
_NOTIFICATION: Final = (
    "GET /notifications/{notification_id}",
    "GET /notifications/{notification_id}/attempts",
    "POST /notifications/{notification_id}/resend",
)
_DEAD_LETTER: Final = (
    "GET /notifications/dead-letters/{dead_letter_id}",
    "POST /notifications/dead-letters/{dead_letter_id}/replay",
    "POST /notifications/dead-letters/{dead_letter_id}/discard",
)

LINKS: Final = (
    Link("POST /orders", "201", "/id", "order_id", _ORDER),
    Link("GET /orders", "200", "/data/0/id", "order_id", _ORDER),
    Link("PATCH /orders/{order_id}/status", "200", "/id", "order_id", _ORDER),
    Link("POST /auth/register", "201", "/id", "user_id", _USER),
    Link("GET /auth/users", "200", "/data/0/id", "user_id", _USER),
    Link("PATCH /auth/users/{user_id}", "200", "/id", "user_id", _USER),
    Link("GET /auth/sessions", "200", "/data/0/id", "session_id", ("DELETE /auth/sessions/{session_id}",)),
    Link("POST /auth/login", "200", "/refresh_token", "refresh_token", _REFRESH, in_body=True),
    Link("POST /auth/refresh", "200", "/refresh_token", "refresh_token", _REFRESH, in_body=True),
    Link("GET /notifications", "200", "/data/0/id", "notification_id", _NOTIFICATION),
    Link("POST /notifications/{notification_id}/resend", "202", "/id", "notification_id", _NOTIFICATION),
    Link("GET /notifications/dead-letters", "200", "/data/0/id", "dead_letter_id", _DEAD_LETTER),
)


def linked(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with the links between operations that it has."""
    found = deepcopy(document)
    for link in LINKS:
        if (source := _operation(found, link.source)) is not None:
            for target in link.targets:
                described = _described(link, _operation(found, target)["operationId"])
                source["responses"][link.status].setdefault("links", {})[target] = described
    return found


def exemplified(document: dict[str, Any], known: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The same document with things that there are as examples of the parameters that name them."""
    found = deepcopy(document)
    for item in found["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and known.get(parameter["name"]):
                    parameter["examples"] = {each: {"value": each} for each in known[parameter["name"]]}
    return found


def _operation(document: dict[str, Any], label: str) -> Any:
    method, path = label.split()
    return document["paths"].get(path, {}).get(method.lower())


def _described(link: Link, target: str) -> dict[str, Any]:
    value = f"$response.body#{link.pointer}"
    if link.in_body:
        return {"operationId": target, "requestBody": {link.name: value}}
    return {"operationId": target, "parameters": {link.name: value}}
