"""The embedded PostgreSQL: what `up` and the whole suite stand on."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shopflow.local.failures import LocalFailure
from shopflow.local.postgres import PostgreSQL, throwaway
from shopflow.local.processes import Child, identify


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PostgreSQL]:
    async with throwaway() as running:
        yield running


def _child(server: PostgreSQL) -> Child:
    assert server.child is not None
    return server.child


async def test_each_role_reaches_its_own_database_and_no_other(server: PostgreSQL) -> None:
    mine = await server.ensure_database("mine", password="a'b/c")
    await server.ensure_database("other", password="x")
    connection = await asyncpg.connect(mine)
    await connection.execute("CREATE TABLE things (id INT)")
    await connection.close()
    for foreign in ("other", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(server.url(foreign, user="mine", password="a'b/c"))


async def test_a_wrong_password_is_refused_on_every_way_in(server: PostgreSQL) -> None:
    await server.ensure_database("guarded", password="right")
    for host in ("127.0.0.1", str(server.socket_folder)):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host=host, port=server.port, user="guarded", password="wrong", database="guarded")


async def test_making_a_database_again_keeps_its_content_and_sets_the_password(server: PostgreSQL) -> None:
    first = await asyncpg.connect(await server.ensure_database("kept", password="one"))
    await first.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await first.close()
    second = await asyncpg.connect(await server.ensure_database("kept", password="two"))
    assert await second.fetchval("SELECT number FROM kept") == 7
    await second.close()


async def test_text_is_utf8_times_are_utc_and_tests_do_not_wait_for_the_disk(server: PostgreSQL) -> None:
    shown = await server.execute("SHOW server_encoding; SHOW timezone; SHOW fsync")
    assert shown.split() == ["UTF8", "UTC", "off"]


async def test_after_a_kill_it_starts_again_with_what_was_committed() -> None:
    async with throwaway(durable=True) as server:
        connection = await asyncpg.connect(await server.ensure_database("survivor", password="s"))
        await connection.execute("CREATE TABLE survivor AS SELECT 1 AS one")
        connection.terminate()
        port = server.port
        _child(server).kill()
        await server.wait()
        await server.start()
        assert server.port == port
        assert await server.execute("SELECT one FROM survivor", database="survivor") == "1\n"


async def test_a_backend_busy_with_a_query_does_not_keep_a_killed_server_from_starting() -> None:
    endless = "SELECT count(*) FROM generate_series(1, 100000000000) AS n WHERE md5(n::text) = ''"
    async with throwaway(options={"max_parallel_workers_per_gather": "0"}) as server:
        connection = await asyncpg.connect(server.superuser_url)
        backend = connection.get_server_pid()
        query = asyncio.ensure_future(connection.fetchval(endless))
        busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        while await server.execute(busy) == "0\n":
            await asyncio.sleep(0.01)
        _child(server).kill()
        await server.wait()
        await asyncio.wait_for(server.start(), 15)
        assert identify(backend) is None
        with pytest.raises(asyncpg.PostgresConnectionError):
            await query


async def test_stopping_leaves_no_process_and_no_temporary_folder() -> None:
    async with throwaway() as server:
        process = _child(server).identity
        folder, sockets = server.folder, server.socket_folder
    assert identify(process.pid) != process
    assert not folder.exists()
    assert not sockets.exists()


async def test_data_of_another_major_is_refused_with_the_remedy() -> None:
    async with throwaway() as server:
        await server.stop()
        version = server.folder / "data" / "PG_VERSION"
        version.write_text("12\n")
        with pytest.raises(LocalFailure, match=r"written by PostgreSQL 12 .* move that folder away"):
            await server.start()


async def test_a_failed_first_start_leaves_nothing_running() -> None:
    async with throwaway() as server:
        await server.stop()
        broken = PostgreSQL(server.folder, password="x", durable=False, options={"shared_buffers": "nonsense"})
        with pytest.raises(LocalFailure, match="did not start"):
            await broken.start()
        assert broken.child is None
