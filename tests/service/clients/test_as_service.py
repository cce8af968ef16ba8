"""A service that asks in its own name: a token that is refused is read again, and asked with once more (R8)."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from litestar import Request, get

from shopflow.clients.auth import AuthClient
from shopflow.clients.orders import OrdersClient
from shopflow.kit.answers import JsonResponse
from shopflow.kit.credentials import Credential
from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.problems import Problem
from shopflow.kit.service import Application

Serve = Callable[[Application], Awaitable[str]]


@dataclass
class Neighbour:
    """Knows no user and no order, and one token."""

    accepts: str = "renewed"
    asked: list[str] = field(default_factory=list)

    def application(self) -> Application:
        """What is served."""

        @get(["/auth/users/{thing:str}", "/orders/{thing:str}"])
        async def read(request: Request[Any, Any, Any]) -> JsonResponse[Any]:
            self.asked.append(request.headers["authorization"])
            return JsonResponse({}, status_code=404 if self.asked[-1] == f"Bearer {self.accepts}" else 401)

        return Application(
            name="neighbour",
            summary="A stand-in.",
            routes=[read],
            resources=[],
            dependencies=[],
            metrics=Metrics(),
            max_body=1000,
        )


@pytest.fixture
def neighbour() -> Neighbour:
    return Neighbour()


@pytest.fixture
async def peer(neighbour: Neighbour, serving: Serve) -> AsyncIterator[Peer]:
    made = Peer("neighbour", await serving(neighbour.application()), metrics=Metrics())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def credential(tmp_path: Path) -> Credential:
    """A token whose file was written anew without looking different: with the same time, in the same place."""
    file = tmp_path / "token"
    file.write_text("outworn")
    made = Credential(None, file)
    assert made.token() == "outworn"
    seen = file.stat()
    file.write_text("renewed")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    return made


async def test_a_refused_token_is_read_again_and_asked_with_once_more(
    peer: Peer, neighbour: Neighbour, credential: Credential
) -> None:
    assert await AuthClient(peer, service_token=credential).profile(uuid4()) is None
    assert neighbour.asked == ["Bearer outworn", "Bearer renewed"]
    assert await OrdersClient(peer, service_token=credential).order(uuid4()) is None
    assert len(neighbour.asked) == 3


async def test_a_token_that_is_refused_again_is_not_asked_with_for_ever(
    peer: Peer, neighbour: Neighbour, credential: Credential
) -> None:
    neighbour.accepts = "another"
    for _ in range(2):
        with pytest.raises(Problem, match="service-token-refused"):
            await OrdersClient(peer, service_token=credential).order(uuid4())
    assert neighbour.asked == ["Bearer outworn", "Bearer renewed", "Bearer renewed"]
