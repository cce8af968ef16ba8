"""Single services in processes of their own, on a PostgreSQL and a RabbitMQ of the run's: for loads that a whole
platform would only blur. Limits and costs are the defaults unless a run says otherwise. Gone without a trace at the
end."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

import aiohttp

from shopflow.kit.migrations import migrate
from shopflow.local import postgres, rabbitmq
from shopflow.local.given import SYSTEM
from shopflow.local.ports import free_port
from shopflow.local.processes import Child, tail

_READY_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 15.0
_PASSWORD: Final = "only-for-the-bench"  # noqa: S105 - of a server that lives as long as the run
_SCHEMAS: Final = Path(__file__).parents[1] / "src" / "shopflow"


class NotReady(Exception):
    """A service did not come up. The message is the end of what it said."""


@dataclass(frozen=True)
class Service:
    """A running service: where it answers, which process it is, where its database is."""

    url: str
    pid: int
    database: str

    async def metrics(self, http: aiohttp.ClientSession) -> str:
        """What it counts about itself, as Prometheus text."""
        async with http.get(f"{self.url}/metrics", raise_for_status=True) as answer:
            return await answer.text()


@dataclass(frozen=True)
class Servers:
    """What services stand on, and the folder for their logs."""

    stack: AsyncExitStack
    postgres: postgres.PostgreSQL
    folder: Path
    jwt_secret: str

    async def auth(self, **variables: str) -> Service:
        """An auth-service."""
        return await self._service("auth", {"JWT_SECRET": self.jwt_secret} | variables)

    async def orders(self, auth: Service, **variables: str) -> Service:
        """An order-service beside that auth-service, on a real broker."""
        broker = await self.stack.enter_async_context(rabbitmq.throwaway())
        return await self._service("orders", {"AUTH_SERVICE_URL": auth.url, "RABBITMQ_URL": broker.url} | variables)

    async def _service(self, name: str, variables: dict[str, str]) -> Service:
        await self.postgres.ensure_database(name, password=_PASSWORD)
        database = self.postgres.url(name, user=name, password=_PASSWORD)
        await migrate(database, _SCHEMAS / name / "schema")
        port, log = free_port(), self.folder / f"{name}.log"
        kept = {each: value for each, value in os.environ.items() if each in SYSTEM}
        child = await Child.spawn(
            (sys.executable, "-P", "-m", "shopflow", name, "serve"),
            environment=kept | {"DATABASE_URL": database, "PORT": str(port)} | variables,
            log=log,
            folder=self.folder,
        )
        self.stack.push_async_callback(child.stop, patience=_STOP_WITHIN)
        service = Service(f"http://127.0.0.1:{port}", child.identity.pid, database)
        await _until_ready(service, child, log)
        return service


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """The servers that services stand on, for as long as the block lasts; its services end before them."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shopflow-bench-"))
        database = await stack.enter_async_context(postgres.throwaway(durable=True))
        yield Servers(stack, database, Path(folder), token_hex(32))


async def _until_ready(service: Service, child: Child, log: Path) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _READY_WITHIN
    async with aiohttp.ClientSession() as http:
        while child.exit_status is None and loop.time() < until:
            try:
                async with http.get(f"{service.url}/ready") as answer:
                    if (await answer.json())["status"] == "ok":
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise NotReady(tail(log))
