"""A small application to try the edge on, and bytes on a plain socket: sent as they are, read until the end."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from shopflow.kit.admission import Bounds
from shopflow.kit.answers import json_body, problems
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import Kind, unauthenticated
from shopflow.kit.proxies import Network
from shopflow.kit.senders import client_address
from shopflow.kit.service import INTERNAL, Application, Resource

Serve = Callable[[Application], Awaitable[str]]

JSON: Final = b"Content-Type: application/json\r\n"
MAX_BODY: Final = 1000
LARGE: Final = b"x" * 2_000_000
_WITHIN: Final = 20.0


class Thing(msgspec.Struct):
    """A body to send."""

    name: Annotated[str, msgspec.Meta(min_length=1)]


class Gate:
    """What a handler waits for, and how many have come to it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.arrived = 0
        self.left = 0

    async def passed(self) -> None:
        """Waits until the gate is open."""
        self.arrived += 1
        await self.opened.wait()
        self.left += 1

    async def waits_for(self, count: int) -> None:
        """Until so many stand before it."""
        async with asyncio.timeout(_WITHIN):
            while self.arrived < count:
                await asyncio.sleep(0.005)


def application(
    *,
    gate: Gate | None = None,
    bounds: Bounds | None = None,
    origins: Sequence[str] = (),
    proxies: Sequence[Network] = (),
    resources: Sequence[Resource] = (),
    max_body: int = MAX_BODY,
) -> Application:
    """One path of every kind: with a body, without, refused before its body, waiting, between services, broken."""
    return Application(
        name="thing-service",
        summary="Things.",
        routes=[*_ordinary(), *_odd(gate or Gate())],
        resources=resources,
        dependencies=[],
        metrics=Metrics(),
        max_body=max_body,
        cors_origins=origins,
        trusted_proxies=proxies,
        bounds=bounds or Bounds(),
    )


def _ordinary() -> list[HTTPRouteHandler]:
    @post("/things", dto=json_body(Thing), return_dto=None, responses=problems(Kind.INVALID))
    async def make(data: JSONBody[Thing]) -> Thing:
        return data

    @get("/things/{name:str}")
    async def thing(name: FromPath[str]) -> Thing:
        return Thing(name)

    @patch("/things/{name:str}", dto=json_body(Thing), return_dto=None)
    async def change(name: FromPath[str], data: JSONBody[Thing]) -> Thing:  # noqa: ARG001 - the path has a parameter
        return data

    @get("/asked")
    async def asked(
        page: Annotated[int, QueryParameter(ge=1)] = 1, text: FromQuery[str | None] = None
    ) -> dict[str, int | str | None]:
        return {"page": page, "text": text}

    return [make, thing, change, asked]


def _odd(gate: Gate) -> list[HTTPRouteHandler]:
    @post("/refused")
    async def refused() -> None:
        raise unauthenticated("token-invalid", "The token is not valid.")

    @get("/waits")
    async def waits() -> dict[str, str]:
        await gate.passed()
        return {}

    @post("/between", opt=INTERNAL)
    async def between() -> dict[str, str]:
        return {}

    @get("/large")
    async def large() -> bytes:
        return LARGE

    @get("/who")
    async def who(request: Request[Any, Any, Any]) -> dict[str, str]:
        return {"address": client_address(request.scope)}

    @get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("a secret of ours")

    return [refused, waits, between, large, who, defect]


def port_of(url: str) -> int:
    """The port of a base URL."""
    return int(url.rpartition(":")[2])


@dataclass(frozen=True)
class Heard:
    """Everything that came back, and whether the service ended the connection."""

    raw: bytes
    ended: bool

    @property
    def statuses(self) -> list[int]:
        """The status of every answer, in order."""
        return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", self.raw)]

    @property
    def head(self) -> bytes:
        """The first answer's head, in lower case."""
        return self.raw.partition(b"\r\n\r\n")[0].lower()

    @property
    def problem(self) -> str | None:
        """The code of the first problem."""
        found = re.search(rb'"type":"urn:shopflow:problem:([a-z-]+)"', self.raw)
        return found[1].decode() if found else None


async def told(url: str, raw: bytes, *, quiet: float = 0.3, first: float = _WITHIN) -> Heard:
    """Sends bytes and listens until the service ends the connection, or has been quiet for a moment after answering."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    heard, ended = bytearray(), False
    try:
        writer.write(raw)
        while True:
            async with asyncio.timeout(quiet if heard else first):
                part = await reader.read(65536)
            if not part:
                ended = True
                break
            heard += part
    except TimeoutError:
        pass
    except OSError:
        ended = True
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return Heard(bytes(heard), ended)


def metric(service: Application, line: str) -> float:
    """The value of one line of the metrics, 0 when there is none."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", service.metrics.text().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0
