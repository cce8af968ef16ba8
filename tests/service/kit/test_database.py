"""What a database that is not well means for its callers, on a real PostgreSQL and through a link that can freeze."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from shopflow.kit.postgres import AlreadyExists, Database, connect
from shopflow.kit.problems import Kind, Problem
from shopflow.local.postgres import PostgreSQL

MakeDatabase = Callable[[str], Awaitable[str]]

USER = """
INSERT INTO users (email, password_hash, first_name, last_name, role) VALUES ($1, 'a-hash', 'Ada', 'Lovelace', $2)
"""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def url(database_of: MakeDatabase) -> str:
    return await database_of("auth")


@pytest.fixture
async def closed_url(url: str, superuser: asyncpg.Connection) -> str:
    """A database that accepts no connections, as one that is being restored does."""
    name = urlsplit(url).path[1:]
    await superuser.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    return url


async def test_a_database_that_accepts_no_connections_is_unavailable(closed_url: str) -> None:
    async with opened(closed_url) as database:
        with pytest.raises(Problem) as refused:
            await database.fetchval("SELECT 1")
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_outside_a_pool_too(closed_url: str) -> None:
    with pytest.raises(Problem) as refused:
        await connect(closed_url)
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_a_connection_that_the_server_ends_in_a_transaction_is_unavailable(
    url: str, superuser: asyncpg.Connection
) -> None:
    async def end_itself(database: Database) -> None:
        async with database.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await superuser.execute("SELECT pg_terminate_backend($1)", pid)
            await connection.fetchval("SELECT pg_sleep(5)")

    async with opened(url) as database:
        with pytest.raises(Problem) as lost:
            await end_itself(database)
        assert lost.value.kind is Kind.UNAVAILABLE
        assert await database.fetchval("SELECT 1") == 1


async def test_a_statement_called_wrongly_is_a_defect_and_not_unavailable(url: str) -> None:
    async with opened(url) as database:
        with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
            await database.fetchval("SELECT $1::int", 1, 2)


@pytest.mark.parametrize(
    ("statement", "parameter"),
    [("SELECT $1::uuid", "S3cret"), ("SELECT $1::text::uuid", "S3cret"), ("SELECT $1::text", "S3cret\0")],
)
async def test_what_is_no_value_of_a_column_is_told_without_it(url: str, statement: str, parameter: str) -> None:
    async with opened(url) as database:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await database.fetchval(statement, parameter)
    assert "S3cret" not in "".join(traceback.format_exception(refused.value))
    assert "S3cret" not in repr(refused.value)


@pytest.mark.parametrize(("role", "error"), [("customer", AlreadyExists), ("king", asyncpg.CheckViolationError)])
async def test_what_a_table_refuses_is_told_without_the_values_of_the_row(
    url: str, role: str, error: type[Exception]
) -> None:
    async with opened(url) as database:
        await database.execute(USER, "ada@shop.example", "customer")
        with pytest.raises(error) as refused:
            await database.execute(USER, "ada@shop.example", role)
    told = f"{refused.value} {refused.value.__cause__}"
    assert "ada@" not in told
    assert "a-hash" not in told


class FreezingLink:
    """Carries bytes to a server until it is frozen: then nothing arrives any more, and nothing is refused."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        self._thawed.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(self._pump(reader, away), self._pump(there, writer))
        finally:
            for each in (away, writer):
                each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._thawed.wait()
            target.write(data)
            await target.drain()


@pytest.fixture
async def link(postgres: PostgreSQL) -> AsyncIterator[tuple[FreezingLink, int]]:
    link = FreezingLink(postgres.port)
    carried: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.add(asyncio.create_task(link.carry(reader, writer)))

    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        stack.callback(server.close)
        yield link, server.sockets[0].getsockname()[1]
        for each in carried:
            each.cancel()
        await asyncio.gather(*carried, return_exceptions=True)


async def test_a_database_behind_a_dead_link_is_given_up_in_time_and_its_connections_come_back(
    url: str, link: tuple[FreezingLink, int], postgres: PostgreSQL
) -> None:
    frozen, port = link
    async with opened(url.replace(str(postgres.port), str(port))) as database:
        assert await database.fetchval("SELECT 1") == 1
        frozen.freeze()
        async with asyncio.timeout(8):
            with pytest.raises(Problem) as given_up:
                await database.fetchval("SELECT 1")
    assert given_up.value.kind is Kind.UNAVAILABLE
