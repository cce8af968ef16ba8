"""The shop under fault: the three services as production runs them, on servers of their own, each link through a proxy.

It starts, kills, freezes and stops; what that does to orders is for others to find out.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import copyfile, copytree, rmtree
from time import time
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
from tests.chaos.proxy import Decision, Opaque, Proxy
from tests.chaos.wires import WIRES

from shopflow.auth.tokens import Tokens
from shopflow.kit.migrations import migrate
from shopflow.local import postgres as embedded_postgres
from shopflow.local import rabbitmq as embedded_rabbitmq
from shopflow.local import sandbox
from shopflow.local.ports import free_port
from shopflow.local.processes import Child, tail

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-thirty-two-bytes-under-fault"
DATABASE_PASSWORD = "only-for-chaos"
TWILIO_TOKEN = "a-token-of-twilio-under-fault"
READY_WITHIN = 60.0
STOPPED_WITHIN = 15.0
MESSAGES = 500_000
"""So many the provider remembers: all of a run's."""
CONTENTS = 150_000
"""Of so many it remembers the words, by which an SMS is found in its list, and its owner by the checker."""
LADDER = "0.2,0.4,0.8"
"""Seconds between retries that a run need not wait for."""

NEEDS = {
    "auth": ("postgres",),
    "orders": ("postgres", "rabbitmq", "auth"),
    "notifications": ("postgres", "rabbitmq", "auth", "orders", "provider"),
}
"""What each service talks to: each is a link with a proxy of its own."""


@dataclass(frozen=True, order=True)
class Step:
    """Something that passed a link: `link` is `<process>-<what it talks to>`, `name` begins with the direction."""

    link: str
    name: str

    @property
    def process(self) -> str:
        """Whose link it is: the process that a kill at this step meets."""
        return self.link.rpartition("-")[0]


@dataclass
class Process:
    """One service process, or the place where it ran and will run again."""

    name: str
    service: str
    port: int
    environment: Mapping[str, str]
    folder: Path
    child: Child | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self.child is not None, f"{self.name} does not run"
        return self.child.identity.pid

    async def start(self) -> None:
        """Start it; returns at once."""
        assert self.child is None or self.child.exit_status is not None
        program = (sys.executable, "-m", "shopflow", self.service, "serve")
        self.child = await Child.spawn(program, environment=self.environment, log=self.log, folder=self.folder)
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL."""
        if self.child is not None:
            self.child.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def ended(self) -> int:
        """Wait until it has ended; answers its exit status."""
        return 0 if self.child is None else await self.child.wait()

    async def stop(self) -> int:
        """SIGTERM; answers the exit status, -9 when it did not stop by itself."""
        return 0 if self.child is None else await self.child.stop(patience=STOPPED_WITHIN)

    async def is_ready(self, http: aiohttp.ClientSession) -> bool:
        """Whether it and everything it needs answer."""
        try:
            async with http.get(f"{self.url}/ready", timeout=aiohttp.ClientTimeout(total=3)) as answer:
                return bool((await answer.json()).get("status") == "ok")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False


@dataclass
class Shop:
    """Servers, links, processes, and a client to ask them with."""

    folder: Path
    source: Path
    dice: Random
    postgres: embedded_postgres.PostgreSQL
    rabbitmq: embedded_rabbitmq.RabbitMQ
    provider: str
    http: aiohttp.ClientSession
    ladder: str = LADDER
    reads: bool = True
    proxied: bool = True
    databases: dict[str, str] = field(default_factory=dict)
    pools: dict[str, asyncpg.Pool] = field(default_factory=dict)
    links: dict[str, Proxy] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    watch: Callable[[Step], Decision] = lambda _: Decision.PASS

    async def add(self, name: str, *, port: int | None = None) -> Process:
        """Make room for a process; `notifications-2` is the second one of its service. Starts nothing but proxies."""
        service = name.partition("-")[0]
        for neighbour in NEEDS[service] if self.proxied else ():
            await self._link(f"{name}-{neighbour}", neighbour)
        port = port or free_port()
        folder = self.folder / "services"
        folder.mkdir(exist_ok=True)
        environment = self._environment(name, service, port)
        self.processes[name] = Process(name, service, port, environment, folder)
        return self.processes[name]

    async def start(self, *names: str) -> None:
        """Start processes and wait until each is ready."""
        await asyncio.gather(*(self.processes[name].start() for name in names))
        await self.ready(*names)

    async def ready(self, *names: str, within: float = READY_WITHIN) -> None:
        """Wait until processes and what they need answer. Raises AssertionError with the end of the log."""
        for name in names:
            process = self.processes[name]
            try:
                async with asyncio.timeout(within):
                    while not await process.is_ready(self.http):
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise AssertionError(f"{name} is not ready after {within:.0f} s\n{tail(process.log)}") from None

    async def restart(self, name: str) -> None:
        """Bring a process that has ended back."""
        await self.processes[name].ended()
        await self.start(name)

    def kept(self) -> Path:
        """Copies what processes and servers said so far out of a folder that will be gone; answers where it is."""
        folder = Path(tempfile.mkdtemp(prefix="shopflow-chaos-kept-"))
        copytree(self.folder, folder, dirs_exist_ok=True)
        for server in (self.postgres, self.rabbitmq):
            with suppress(FileNotFoundError):
                copyfile(server.log, folder / server.log.name)
        return folder

    def links_to(self, what: str) -> list[Proxy]:
        """Every process's link to one server or service."""
        return [link for name, link in self.links.items() if name.rpartition("-")[2] == what]

    def url(self, service: str) -> str:
        """Where clients find a service."""
        return self.processes[service].url

    async def fault(self, **fault: object) -> None:
        """Ask the provider to fail, as the sandbox's `POST /faults` describes it."""
        async with self.http.post(f"{self.provider}/faults", json=fault) as answer:
            assert answer.status == 201, await answer.text()

    async def no_faults(self) -> None:
        """The provider works again."""
        async with self.http.delete(f"{self.provider}/faults") as answer:
            assert answer.status == 204

    async def _link(self, name: str, what: str) -> None:
        wire = WIRES.get(what, WIRES["http"]) if self.reads else Opaque

        def watch(step: str) -> Decision:
            return self.watch(Step(name, step))

        proxy = Proxy(name, port=self._port_of(what), wire=wire, watch=watch, dice=self.dice)
        await proxy.open()
        self.links[name] = proxy

    def _port_of(self, what: str) -> int:
        match what:
            case "postgres":
                return self.postgres.port
            case "rabbitmq":
                return self.rabbitmq.port
            case "provider":
                return urlsplit(self.provider).port or 80
            case _:
                return self.processes[what].port

    def _through(self, name: str, what: str, url: str) -> str:
        """The address of a link in place of what is behind it."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        port = self.links[f"{name}-{what}"].port if self.proxied else self._port_of(what)
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

    def _environment(self, name: str, service: str, port: int) -> dict[str, str]:
        shared = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(self.source), "PORT": str(port), "SHOPFLOW_ENV": "test",
            "LOG_LEVEL": "info", "RATE_LIMIT_AUTH": "off", "RATE_LIMIT_ORDERS": "off",
            "DATABASE_URL": self._through(name, "postgres", self.databases[service]),
        }  # fmt: skip
        if service == "auth":
            return shared | {"JWT_SECRET": SECRET, "BCRYPT_COST": "4"}
        own = Tokens(SECRET).service(
            f"{'order' if service == 'orders' else 'notification'}-service", issued=int(time())
        )
        shared |= {
            "RABBITMQ_URL": self._through(name, "rabbitmq", self.rabbitmq.url),
            "AUTH_SERVICE_URL": self._through(name, "auth", "http://-"), "AUTH_SERVICE_TOKEN": own,
        }  # fmt: skip
        if service == "orders":
            return shared
        provider = self._through(name, "provider", self.provider)
        return shared | {
            "ORDER_SERVICE_URL": self._through(name, "orders", "http://-"), "ORDER_SERVICE_TOKEN": own,
            "NOTIFICATION_RETRY_DELAYS": self.ladder,
            "AWS_SES_REGION": "us-east-1", "AWS_SES_FROM_EMAIL": "shop@example.com",
            "AWS_ENDPOINT_URL_SESV2": provider, "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_EC2_METADATA_DISABLED": "true", "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN, "TWILIO_FROM_NUMBER": "+15550001234", "TWILIO_BASE_URL": provider,
        }  # fmt: skip


@asynccontextmanager
async def opened(
    *,
    seed: int = 0,
    source: Path = ROOT / "src",
    ladder: str = LADDER,
    processes: Sequence[str] = ("auth", "orders", "notifications"),
    started: bool = True,
    reads: bool = True,
    proxied: bool = True,
) -> AsyncIterator[Shop]:
    """A shop for as long as the block lasts, on servers of its own; nothing of it is left afterwards.

    Args:
        seed: of everything that is thrown in it.
        source: where the services' code is; a mutant's is elsewhere.
        ladder: seconds before each retry of a notification.
        processes: what runs in it.
        started: whether the processes are started, or only prepared.
        reads: whether the proxies look for steps in what they carry, which costs as much as the services do.
        proxied: whether there are proxies at all; without, no link can suffer.
    """
    folder = Path(tempfile.mkdtemp(prefix="shopflow-chaos-"))
    async with AsyncExitStack() as stack:
        stack.callback(rmtree, folder, ignore_errors=True)
        # A crash of the server must not lose what it has committed; a crash of the machine is not among the faults.
        options = {"synchronous_commit": "on", "max_connections": "300"}
        postgres, rabbitmq = await asyncio.gather(
            stack.enter_async_context(embedded_postgres.throwaway(options=options)),
            stack.enter_async_context(embedded_rabbitmq.throwaway()),
        )
        provider = await stack.enter_async_context(sandbox.opened(keep=MESSAGES, keep_content=CONTENTS))
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        dice = Random(seed)  # noqa: S311 - a seed repeats a run
        shop = Shop(folder, source, dice, postgres, rabbitmq, provider, http, ladder, reads, proxied)
        stack.push_async_callback(_ended, shop)
        await _databases(shop, stack)
        for name in processes:
            await shop.add(name)
        try:
            if started:
                await shop.start(*processes)
            yield shop
        except Exception as error:
            error.add_note(f"the logs of this run are in {shop.kept()}")
            raise


async def _databases(shop: Shop, stack: AsyncExitStack) -> None:
    for service in NEEDS:
        url = await shop.postgres.ensure_database(service, password=DATABASE_PASSWORD)
        await migrate(url, shop.source / "shopflow" / service / "schema")
        shop.databases[service] = url
        shop.pools[service] = await asyncpg.create_pool(url, min_size=0, max_size=4, command_timeout=60)
        stack.callback(shop.pools[service].terminate)


async def _ended(shop: Shop) -> None:
    for process in shop.processes.values():
        process.kill()
    for process in shop.processes.values():
        await process.ended()
    for link in shop.links.values():
        await link.close()
