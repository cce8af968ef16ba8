"""The faults of the matrix that last a while: servers that stop, links that suffer, processes that freeze.

Each is a block: the fault holds from its beginning to its end, and leaves the shop as it found it.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
from tests.chaos.proxy import Entry
from tests.chaos.shop import Shop
from tests.chaos.toxics import Bandwidth, CutAfter, Direction, Latency, Silence, Slices, Toxic

LINK: Final = 15.0
HALF_OPEN: Final = 30.0
"""Nothing returns here: it has to be noticed and replaced within two heartbeats (B-8)."""
SERVER: Final = 60.0
"""Seconds within which a fresh order goes through again after the end of a link's fault, and of a server's (I9)."""

ANSWERED: Final = 2.0
"""Seconds in which half of the placements are answered while auth-service is away: one of deadline, one of machine."""
UNTOUCHED: Final = 0.5
"""The same where placing does not depend on what suffers."""

Begin = Callable[[Shop], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """A row of the matrix: what it is, how it is begun and ended, for how long it holds, and when all is well again.

    `slowest` is how long half of the placements may take at most while it holds, where that is promised.
    """

    row: str
    what: str
    begin: Begin
    seconds: float
    limit: float
    slowest: float | None = None


@asynccontextmanager
async def links_down(shop: Shop, *, to: str, entry: Entry) -> AsyncIterator[None]:
    """Nobody reaches a server or service."""
    async with AsyncExitStack() as stack:
        for link in shop.links_to(to):
            await stack.enter_async_context(link.down(entry))
        yield


@asynccontextmanager
async def one_link_down(shop: Shop, *, name: str, entry: Entry) -> AsyncIterator[None]:
    """One process does not reach what it needs."""
    async with shop.links[name].down(entry):
        yield


@asynccontextmanager
async def suffering(shop: Shop, *, to: str, toxics: tuple[Toxic, ...]) -> AsyncIterator[None]:
    """Every link to a server or service suffers."""
    async with AsyncExitStack() as stack:
        for link in shop.links_to(to):
            await stack.enter_async_context(link.suffering(*toxics))
        yield


@asynccontextmanager
async def one_suffering(shop: Shop, *, name: str, toxics: tuple[Toxic, ...]) -> AsyncIterator[None]:
    """One link suffers."""
    async with shop.links[name].suffering(*toxics):
        yield


@asynccontextmanager
async def half_open(shop: Shop, *, to: str) -> AsyncIterator[None]:
    """What is connected stays so, and nothing that is sent on it ever arrives."""
    for link in shop.links_to(to):
        link.freeze()
    yield


@asynccontextmanager
async def broker_stopped(shop: Shop) -> AsyncIterator[None]:
    """RabbitMQ is stopped, and started again."""
    await shop.rabbitmq.stop()
    try:
        yield
    finally:
        await shop.rabbitmq.start()


@asynccontextmanager
async def broker_killed(shop: Shop) -> AsyncIterator[None]:
    """RabbitMQ is killed, and started again."""
    assert shop.rabbitmq.child is not None
    shop.rabbitmq.child.kill()
    try:
        yield
    finally:
        await shop.rabbitmq.stop()
        await shop.rabbitmq.start()


@asynccontextmanager
async def database_stopped(shop: Shop) -> AsyncIterator[None]:
    """PostgreSQL is stopped, and started again."""
    await shop.postgres.stop()
    try:
        yield
    finally:
        await shop.postgres.start()


@asynccontextmanager
async def database_killed(shop: Shop) -> AsyncIterator[None]:
    """PostgreSQL is killed, and started again."""
    assert shop.postgres.child is not None
    shop.postgres.child.kill()
    try:
        yield
    finally:
        await shop.postgres.stop()
        await shop.postgres.start()


@asynccontextmanager
async def backends_terminated(shop: Shop) -> AsyncIterator[None]:
    """Every connection of the services to PostgreSQL is ended by the server."""
    superuser = await asyncpg.connect(shop.postgres.superuser_url)
    try:
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shopflow'"
        )
    finally:
        await superuser.close()
    yield


@asynccontextmanager
async def locked(shop: Shop, *, statement: str) -> AsyncIterator[None]:
    """Somebody holds rows, or a whole table, of order-service's."""
    connection = await asyncpg.connect(shop.databases["orders"])
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def started_without(shop: Shop, *, server: str, names: tuple[str, ...]) -> AsyncIterator[None]:
    """Processes are started while a server is not there: each lives, says so, and waits for it."""
    for name in names:
        await shop.processes[name].stop()
    async with links_down(shop, to=server, entry=Entry.REFUSE):
        for name in names:
            await shop.processes[name].start()
        for name in names:
            await _healthy(shop, name)
        yield
    await shop.ready(*names)


async def _healthy(shop: Shop, name: str) -> None:
    """Wait until a process answers `/health`, as it must without anything that it needs (R64)."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with shop.http.get(f"{shop.url(name)}/health") as answer:
                    assert answer.status == 200
                    return
            except OSError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def provider_fails(shop: Shop, *, mode: str, **fault: object) -> AsyncIterator[None]:
    """Both channels of the provider fail in one way."""
    for channel in ("email", "sms"):
        await shop.fault(channel=channel, mode=mode, **fault)
    try:
        yield
    finally:
        await shop.no_faults()


@asynccontextmanager
async def frozen(shop: Shop, *, name: str) -> AsyncIterator[None]:
    """A process stands still, and goes on as if nothing had been."""
    shop.processes[name].freeze()
    try:
        yield
    finally:
        shop.processes[name].thaw()


@asynccontextmanager
async def killed(shop: Shop, *, name: str) -> AsyncIterator[None]:
    """A process is killed, and started again."""
    shop.processes[name].kill()
    try:
        yield
    finally:
        await shop.restart(name)


@asynccontextmanager
async def terminated(shop: Shop, *, names: tuple[str, ...]) -> AsyncIterator[None]:
    """Processes are asked to stop while there is work, end by themselves with status 0, and are started again."""
    for name in names:
        status = await shop.processes[name].stop()
        assert status == 0, f"{name} ended with {status} after {signal.Signals.SIGTERM.name}"
    try:
        yield
    finally:
        await shop.start(*names)


@asynccontextmanager
async def terminated_while_sending(shop: Shop) -> AsyncIterator[None]:
    """notification-service is asked to stop while the provider takes its time with what it sent."""
    async with provider_fails(shop, mode="stall", seconds=2):
        await asyncio.sleep(1)
        async with terminated(shop, names=("notifications",)):
            yield


SERVICES: Final = ("auth", "orders", "notifications")
_DOWN: Final = (Direction.DOWN,)

FAULTS: Final = (
    Fault("K18", "SIGTERM to each service under load", partial(terminated, names=SERVICES), 0.5, SERVER),
    Fault("K19", "SIGTERM while messages are at the provider", terminated_while_sending, 0.5, SERVER),
    Fault(
        "B-1",
        "order- and notification-service started without the broker",
        partial(started_without, server="rabbitmq", names=("orders", "notifications")),
        3,
        LINK,
    ),
    Fault("B-2", "broker restarted", broker_stopped, 1, SERVER),
    Fault("B-2", "broker killed and restarted", broker_killed, 1, SERVER),
    Fault("B-8", "half-open connections to the broker", partial(half_open, to="rabbitmq"), 0, HALF_OPEN),
    Fault(
        "B-10",
        "connections to the broker cut every 5 kB",
        partial(suffering, to="rabbitmq", toxics=(CutAfter(bytes=5_000),)),
        15,
        LINK,
    ),
    Fault(
        "B-11",
        "broker behind 1 s and 10 kB/s",
        partial(suffering, to="rabbitmq", toxics=(Latency(seconds=1), Bandwidth(bytes_per_second=10_000))),
        12,
        LINK,
        slowest=UNTOUCHED,
    ),
    Fault(
        "D-1",
        "every service started without its database",
        partial(started_without, server="postgres", names=SERVICES),
        3,
        LINK,
    ),
    Fault("D-2", "database restarted", database_stopped, 2, SERVER),
    Fault("D-4", "every backend terminated", backends_terminated, 0, LINK),
    Fault(
        "D-5",
        "every connection of order-service's pool waits for a locked table",
        partial(locked, statement="LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"),
        6,
        LINK,
    ),
    Fault(
        "D-8",
        "every order's row locked by somebody else",
        partial(locked, statement="SELECT FROM orders FOR UPDATE"),
        6,
        LINK,
    ),
    Fault(
        "D-6",
        "2 s on every way to the database",
        partial(suffering, to="postgres", toxics=(Latency(seconds=1),)),
        8,
        LINK,
    ),
    Fault("D-10", "database killed and restarted", database_killed, 1, SERVER),
    Fault(
        "D-12",
        "notification-service's database away",
        partial(one_link_down, name="notifications-postgres", entry=Entry.REFUSE),
        5,
        SERVER,
    ),
    Fault(
        "D-13",
        "order-service's database away",
        partial(one_link_down, name="orders-postgres", entry=Entry.REFUSE),
        5,
        LINK,
    ),
    Fault("N-1", "auth-service refuses", partial(links_down, to="auth", entry=Entry.REFUSE), 4, LINK, slowest=ANSWERED),
    Fault("N-1", "auth-service resets", partial(links_down, to="auth", entry=Entry.RESET), 4, LINK, slowest=ANSWERED),
    Fault(
        "N-1",
        "auth-service is a black hole",
        partial(links_down, to="auth", entry=Entry.BLACKHOLE),
        4,
        LINK,
        slowest=ANSWERED,
    ),
    Fault(
        "N-5",
        "auth-service's bytes come one by one, each after 0.1 s",
        partial(suffering, to="auth", toxics=(Slices(size=1, seconds=0.1, directions=_DOWN),)),
        4,
        LINK,
        slowest=ANSWERED,
    ),
    Fault(
        "N-8",
        "order-service hears nothing from auth-service, which hears it",
        partial(one_suffering, name="orders-auth", toxics=(Silence(directions=_DOWN),)),
        4,
        LINK,
        slowest=ANSWERED,
    ),
    Fault(
        "N-9",
        "order-service slow for notification-service",
        partial(one_suffering, name="notifications-orders", toxics=(Latency(seconds=1.5),)),
        6,
        LINK,
    ),
    Fault("P-2", "both providers throttle", partial(provider_fails, mode="throttle", retry_after=3), 8, SERVER),
    Fault(
        "P-5",
        "both providers accept and cut the connection",
        partial(provider_fails, mode="accept_then_drop", count=3),
        2,
        SERVER,
    ),
    Fault("P-17", "both providers out", partial(provider_fails, mode="error", status=503), 10, SERVER),
)
"""What is played under load, in this order or a seed's."""


def killing(name: str) -> Fault:
    """SIGKILL to one process, which is started again at once."""
    return Fault("K23", f"{name} killed", partial(killed, name=name), 0.0, SERVER)
