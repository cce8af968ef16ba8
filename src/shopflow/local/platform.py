"""The whole of ShopFlow on one machine: which parts there are, what each waits for, and what is told to whom while they
come up, run and stop. How a part is run is the business of `postgres`, `rabbitmq` and `programs`; keeping it running is
`supervisor`'s."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shopflow.local import environments, secrets
from shopflow.local.accounts import private_file, server_account
from shopflow.local.environments import TOKEN_HOLDERS, Addresses, token_file
from shopflow.local.failures import LocalFailure
from shopflow.local.given import SERVICES, Given
from shopflow.local.home import Home, roll
from shopflow.local.ports import is_free
from shopflow.local.postgres import PostgreSQL
from shopflow.local.programs import Service, port_taken, run_once
from shopflow.local.rabbitmq import RabbitMQ, speaks_amqp
from shopflow.local.supervisor import Server, Supervisor, stop_stale
from shopflow.local.welcome import welcome

ORDER = ("postgres", "rabbitmq", "mailbox", *SERVICES)
ADMIN_EMAIL = "admin@shopflow.example"
TOKEN_RENEWAL_SECONDS = 4 * 3600.0  # a token lives 24 h
LOG_BYTES = 64 * 1024 * 1024
CARE_SECONDS = 60.0


class Platform:
    """One platform in one home. `say` tells a person, a line or more at a time. Use an object once."""

    def __init__(self, given: Given, *, say: Callable[[str], None]) -> None:
        self._given = given
        self._say = say
        self._home = Home(given.home)
        self._supervisor = Supervisor(ORDER, say=say, changed=self._publish)
        self._addresses: Addresses | None = None  # known once everything is up
        self._admin_password = ""

    async def run(self, stop: asyncio.Event, *, kill: asyncio.Event) -> None:
        """Bring everything up, keep it up until `stop` is set, and stop it. Raises LocalFailure with nothing running.

        `kill`, set while stopping, ends the wait for a clean stop.
        """
        self._home.make()
        with self._home.locked():
            self._say(f"ShopFlow in {self._home.folder}")
            await self._clear_the_ground()
            kept = self._prepare()
            try:
                await self._until(stop, self._bring_up(kept))
                if not stop.is_set():
                    await self._until(stop, self._keep_up(kept))
            finally:
                await self._stop(kill)

    async def _until(self, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` until it ends, `stop` is set, or a server is beyond hope."""
        working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
        hopeless = asyncio.create_task(self._supervisor.until_hopeless())
        tasks = (working, stopping, hopeless)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if hopeless.done():
                raise hopeless.result()
            if working.done():
                working.result()
        except BaseExceptionGroup as group:
            raise _first_failure(group) from group
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _clear_the_ground(self) -> None:
        self._home.remove_up()
        for name in await stop_stale(self._home.journal()):
            self._say(f"stopped {name}, left behind by an earlier run")
        for part in ("mailbox", *SERVICES):
            if not is_free(self._given.port(part)):
                raise LocalFailure(port_taken(self._given.port(part)))

    def _prepare(self) -> secrets.Secrets:
        for log in self._home.logs.glob("*.log"):
            roll(log, limit=LOG_BYTES)
        self._servers_folder = self._home.servers_folder(server_account())
        there = (self._servers_folder / "postgres" / "data").exists()
        return secrets.load_or_make(self._home.secrets, data_exists=there)

    async def _bring_up(self, kept: secrets.Secrets) -> None:
        """Every part as soon as what it needs is there."""
        async with asyncio.TaskGroup() as group:
            mailbox = group.create_task(self._start(self._mailbox()))
            broker = group.create_task(self._broker(kept))
            databases = group.create_task(self._databases(kept))
            tokens = group.create_task(self._renew_tokens(kept))
            migrations = {name: group.create_task(self._migrate(name, databases)) for name in SERVICES}
            await migrations["auth"]
            admin = group.create_task(self._ensure_admin(kept, (await databases)["auth"]))
            # auth needs no broker; its address is the same whether or not the broker is there yet.
            await self._start(self._service("auth", kept, Addresses(await databases, "")))
            await asyncio.gather(mailbox, tokens, admin, *migrations.values())
            addresses = Addresses(await databases, await broker)
            # Neither needs the other to become ready, and each spends a second of one core on its imports.
            await asyncio.gather(
                *(self._start(self._service(name, kept, addresses)) for name in ("orders", "notifications"))
            )
        self._addresses = addresses

    async def _keep_up(self, kept: secrets.Secrets) -> None:
        self._admin_password = kept.admin_password
        self._publish()
        given = self._given
        urls = {name: given.url(name) for name in (*SERVICES, "mailbox")}
        real = {"E-mail": given.real_mail, "SMS": given.real_sms}
        self._say(welcome(urls, email=ADMIN_EMAIL, password=kept.admin_password, real=real))
        renewed = time.time()  # not the monotonic clock: it stands still while a laptop sleeps
        while True:
            await asyncio.sleep(CARE_SECONDS)
            for log in self._home.logs.glob("*.log"):
                roll(log, limit=LOG_BYTES)
            if time.time() - renewed > TOKEN_RENEWAL_SECONDS and await self._tokens_renewed(kept):
                renewed = time.time()

    async def _stop(self, kill: asyncio.Event) -> None:
        self._addresses = None
        self._home.remove_up()
        stopping = asyncio.create_task(self._supervisor.stop())
        impatience = asyncio.create_task(kill.wait())
        await asyncio.wait((stopping, impatience), return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        if not stopping.done():
            self._supervisor.kill()
        await stopping
        self._say("everything has stopped; what was stored is kept")

    async def _start(self, server: Server) -> None:
        with self._timed(server.name, "starting", "ready"):
            await self._supervisor.start(server)

    async def _databases(self, kept: secrets.Secrets) -> dict[str, str]:
        """The address of each service's database: the one given, else one in our own server."""
        addresses = dict(self._given.database_urls)
        ours = [name for name in SERVICES if name not in addresses]
        if ours:
            folder, port = self._servers_folder / "postgres", self._home.port("postgres")
            server = PostgreSQL(folder, password=kept.postgres, port=port, log=self._log("postgres"))
            await self._start(server)
            self._home.remember_port("postgres", server.port)
            for name in ours:
                addresses[name] = await server.ensure_database(name, password=getattr(kept, name))
        return addresses

    async def _broker(self, kept: secrets.Secrets) -> str:
        """The broker's address: the one given, else our own."""
        given = self._given.rabbitmq_url
        if given is not None:
            await _check_broker(given)
            return given
        folder, port = self._servers_folder / "rabbitmq", self._home.port("rabbitmq")
        server = RabbitMQ(folder, password=kept.rabbitmq, port=port, log=self._log("rabbitmq"), say=self._say)
        await self._start(server)
        self._home.remember_port("rabbitmq", server.port)
        return server.url

    def _mailbox(self) -> Service:
        port = self._given.port("mailbox")
        return Service(
            "mailbox",
            ("sandbox", "serve", "--port", str(port), "--callbacks", self._given.url("notifications")),
            environment=environments.for_command(self._given),
            port=port,
            log=self._log("mailbox"),
        )

    def _service(self, name: str, kept: secrets.Secrets, addresses: Addresses) -> Service:
        environment = environments.for_service(
            name, given=self._given, secrets=kept, addresses=addresses, secrets_folder=self._home.secrets
        )
        port = self._given.port(name)
        return Service(name, (name, "serve"), environment=environment, port=port, log=self._log(name))

    async def _migrate(self, service: str, databases: asyncio.Task[dict[str, str]]) -> None:
        address = (await databases)[service]
        environment = environments.for_command(self._given, DATABASE_URL=address)
        with self._timed(f"the tables of {service}", "bringing up to date", "up to date"):
            await run_once(("migrate", service), environment=environment, log=self._log(f"migrate-{service}"))

    async def _ensure_admin(self, kept: secrets.Secrets, address: str) -> None:
        secret = environments.jwt_secret(self._given, kept)
        environment = environments.for_command(self._given, DATABASE_URL=address, JWT_SECRET=secret)
        command = ("user", "create-admin", "--email", ADMIN_EMAIL, "--password-stdin")
        await run_once(command, environment=environment, log=self._log("admin"), standard_input=kept.admin_password)

    async def _tokens_renewed(self, kept: secrets.Secrets) -> bool:
        """Whether it worked; if not there are hours left to try again."""
        try:
            await self._renew_tokens(kept)
        except LocalFailure as failure:
            self._say(f"tokens not renewed: {failure}")
            return False
        return True

    async def _renew_tokens(self, kept: secrets.Secrets) -> None:
        """Write fresh service tokens; the services re-read their files."""
        secret = environments.jwt_secret(self._given, kept)
        environment = environments.for_command(self._given, JWT_SECRET=secret)
        for holder in TOKEN_HOLDERS:
            command = ("token", "issue", "--service", holder)
            token = await run_once(command, environment=environment, log=self._log("token"))
            private_file(None, token_file(self._home.secrets, holder), token.strip() + "\n")

    def _publish(self) -> None:
        """Tell other programs what runs: the journal always, `up.json` while everything answers."""
        running = self._supervisor.running()
        self._home.write_journal(running)
        if self._addresses is None:
            return
        given = self._given
        self._home.write_up(
            {name: given.url(name) for name in (*SERVICES, "mailbox")}
            | {
                "admin": {"email": ADMIN_EMAIL, "password": self._admin_password},
                "postgres": dict(self._addresses.databases),
                "rabbitmq": self._addresses.rabbitmq,
                "pids": {child.name: child.pid for child in running},
            }
        )

    def _log(self, name: str) -> Path:
        return self._home.logs / f"{name}.log"

    @contextmanager
    def _timed(self, subject: str, doing: str, done: str) -> Iterator[None]:
        began = time.monotonic()
        self._say(f"{subject}: {doing}")
        yield
        self._say(f"{subject}: {done} after {time.monotonic() - began:.1f} s")


async def _check_broker(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "amqp" and not await speaks_amqp(parts.hostname or "localhost", parts.port or 5672):
        place = f"{parts.hostname}:{parts.port or 5672}"
        raise LocalFailure(f"no RabbitMQ answers at {place}: start it, or unset RABBITMQ_URL for one of our own")


def _first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that a person can do something about; anything else means a mistake of ours and stays as it is."""
    failures = group.subgroup(LocalFailure)
    if failures is None:
        return group
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
