"""PostgreSQL: one pool of at most 20 connections, deadlines, and driver errors as problems.

The only file that imports the driver. Statements are written elsewhere, in each service's `store.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol, TypeAlias

import asyncpg

from shopflow.kit.problems import Kind, Problem, unavailable

POOL_SIZE: Final = 20
"""Connections of one instance, all uses counted (PRD 10.3, R65)."""

LOCK_DEADLINE: Final = 2.0
"""Seconds that a statement waits for a row which another transaction holds (B4)."""

_ACQUIRE_DEADLINE: Final = 2.0
_STATEMENT_DEADLINE: Final = 5.0
_CONNECT_DEADLINE: Final = 5.0
_RELEASE_DEADLINE: Final = 2.0
_CLOSE_DEADLINE: Final = 2.0

_AWAY: Final = "The database does not answer; try again."

Row: TypeAlias = Mapping[str, Any]
"""One row of an answer: columns by name."""

_errors = asyncpg.exceptions
_GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    _errors.OperatorInterventionError,  # starting, stopping, or cancelled by a deadline
    _errors.InsufficientResourcesError,
    _errors.PostgresSystemError,
    _errors.IdleInTransactionSessionTimeoutError,
    _errors.ReadOnlySQLTransactionError,
    _errors.DeadlockDetectedError,
    _errors.SerializationError,
    OSError,
    TimeoutError,
)


class AlreadyExists(Exception):
    """A row with this key is there already. `constraint` is the name of the unique index that says so."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class LockTimedOut(Problem):
    """Somebody else has held a row for longer than `LOCK_DEADLINE`: unavailable, for whoever cannot say more."""

    def __init__(self) -> None:
        super().__init__(Kind.UNAVAILABLE, "database-unavailable", _AWAY, retry_after=1)


class Connection(Protocol):
    """What a store function runs its statements on: the database, or a transaction in it."""

    async def fetch(self, statement: str, *parameters: Any) -> list[Row]: ...
    async def fetchrow(self, statement: str, *parameters: Any) -> Row | None: ...
    async def fetchval(self, statement: str, *parameters: Any) -> Any: ...
    async def execute(self, statement: str, *parameters: Any) -> str: ...


class Database:
    """One service's database: statements alone, or several in one transaction.

    Every method raises a problem of kind unavailable when the database cannot answer in time, and AlreadyExists when a
    unique index refuses a row.
    """

    def __init__(self, url: str, *, size: int = POOL_SIZE) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool | None = None
        self._in_use = [0]

    async def open(self) -> None:
        """Connects; a database that is not there yet is waited for by later statements, not here."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._size,
            timeout=_CONNECT_DEADLINE,
            command_timeout=_STATEMENT_DEADLINE,
            max_inactive_connection_lifetime=300,
            init=_prepare,
            reset=_nothing_to_reset,
            server_settings={
                "application_name": "shopflow",
                "statement_timeout": f"{int(_STATEMENT_DEADLINE * 1000)}",
                "lock_timeout": f"{int(LOCK_DEADLINE * 1000)}",
                "idle_in_transaction_session_timeout": "15000",
                "jit": "off",
            },
        )

    async def close(self) -> None:
        """Hands the connections back; what is still running gets two seconds."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_DEADLINE)
        except TimeoutError:
            self._pool.terminate()

    async def fetch(self, statement: str, *parameters: Any) -> list[Row]:
        """All rows of a statement."""
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *parameters))

    async def fetchrow(self, statement: str, *parameters: Any) -> Row | None:
        """The first row of a statement, or None."""
        async with self._connection() as connection:
            row: Row | None = await connection.fetchrow(statement, *parameters)
            return row

    async def fetchval(self, statement: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        async with self._connection() as connection:
            return await connection.fetchval(statement, *parameters)

    async def execute(self, statement: str, *parameters: Any) -> str:
        """Runs a statement; answers PostgreSQL's command tag, such as `UPDATE 1`."""
        async with self._connection() as connection:
            return str(await connection.execute(statement, *parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Several statements that all happen or none; committed when the block ends without an exception."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    async def answers(self) -> bool:
        """Whether the database can be asked right now; for `/ready`."""
        try:
            async with asyncio.timeout(1):
                return bool(await self.fetchval("SELECT 1") == 1)
        except Exception:  # noqa: BLE001 - whatever it is, the database did not answer
            return False

    def _connection(self) -> "_Borrowed":
        if self._pool is None:
            raise RuntimeError("the database is used before it was opened")
        return _Borrowed(self._pool, self._in_use, size=self._size)


class _Borrowed:
    """A pool's connection for one block. A class, not a generator: it stands around every statement."""

    __slots__ = ("_connection", "_in_use", "_pool", "_size")

    def __init__(self, pool: asyncpg.Pool, in_use: list[int], *, size: int) -> None:
        self._pool = pool
        self._in_use = in_use
        self._size = size
        self._connection: Any = None

    async def __aenter__(self) -> Any:
        # Waiting with a deadline costs a task; as long as a connection is free there is nothing to wait for.
        deadline = None if self._in_use[0] < self._size else _ACQUIRE_DEADLINE
        self._in_use[0] += 1
        try:
            self._connection = await self._pool.acquire(timeout=deadline)
        except BaseException as error:
            self._in_use[0] -= 1
            if _refuses_us(error):
                raise _unavailable() from error
            raise
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        lost = error is not None and _is_lost(self._connection)
        try:
            await self._pool.release(self._connection, timeout=_RELEASE_DEADLINE)
        except TimeoutError as late:  # it neither cancels a statement nor rolls back: the pool has dropped it
            raise _unavailable() from (error or late)
        finally:
            self._in_use[0] -= 1
        if error is not None and (ours := _ours(error, lost=lost)) is not None:
            raise ours from error


def _unavailable() -> Problem:
    return unavailable("database-unavailable", _AWAY)


def _refuses_us(error: BaseException) -> bool:
    """Whether getting a connection failed for a reason outside our statements: whatever the server says is one."""
    return isinstance(error, (*_GONE, asyncpg.PostgresError, asyncpg.InterfaceError))


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # it broke in a transaction, and the pool has taken it back
        return True


def _ours(error: BaseException, *, lost: bool) -> Exception | None:
    """A statement's error as ShopFlow's: unavailable, or AlreadyExists. None for a defect, which stays what it is.

    The driver has one kind of error for using a connection wrongly and for using one that is gone: `lost` tells.
    """
    if isinstance(error, asyncpg.PostgresError):
        error.detail = None  # PostgreSQL repeats the row's values there, and a log must not (A17)
    if isinstance(error, asyncpg.DataError):  # in its very message, and so does the driver, in its cause too
        error.args = (str(error).partition(":")[0],)
        error.__cause__ = error.__context__ = None
    if isinstance(error, asyncpg.UniqueViolationError):
        return AlreadyExists(error.constraint_name or "")
    if isinstance(error, _errors.LockNotAvailableError):
        return LockTimedOut()
    if isinstance(error, _GONE) or (lost and isinstance(error, asyncpg.InterfaceError)):
        return _unavailable()
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of a connection outside a pool into ShopFlow's."""
    try:
        yield
    except Exception as error:
        if (ours := _ours(error, lost=True)) is not None:
            raise ours from error
        raise


async def connect(url: str) -> asyncpg.Connection:
    """One connection outside any pool, for migrations and commands.

    Raises:
        Problem: of kind unavailable.
    """
    try:
        return await asyncpg.connect(url, timeout=_CONNECT_DEADLINE)
    except Exception as error:
        if _refuses_us(error):
            raise _unavailable() from error
        raise


async def _prepare(connection: asyncpg.Connection) -> None:
    """JSONB goes in and out as raw JSON bytes: encoded and decoded once, by the service's own encoder."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda raw: b"\x01" + raw,
        decoder=lambda raw: bytes(raw[1:]),
    )


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Saves a round trip on each release: pooled connections never LISTEN, lock the session or SET without LOCAL."""


def rows_changed(tag: str) -> int:
    """How many rows a command tag such as `UPDATE 3` speaks of."""
    return int(tag.rpartition(" ")[2])
