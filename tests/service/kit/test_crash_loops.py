"""A message that kills the process is parked in the end; nothing else counts as a crash (K22)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path

import aio_pika
import pytest
from tests.service.kit.dying import DELAYS, POISON

from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    PAUSE_DELAY,
    SUBSCRIPTIONS,
    consumer_topology,
)
from shopflow.kit.consumer import REASON, Consumer, Done, Verdict, Work
from shopflow.kit.handlings import CRASHES, Handlings
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher

CREATED = SUBSCRIPTIONS[0]
TOPOLOGY = consumer_topology("quorum", DELAYS)
KILLED = -9


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("notifications"))
    await database.open()
    yield database
    await database.close()


async def send(publisher: Publisher, body: bytes) -> None:
    await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, body, message_id=body.decode(), headers={})


async def depth(url: str, queue: str) -> int:
    async with await aio_pika.connect(url) as connection:
        found = await (await connection.channel()).get_queue(queue)
        return int(found.declaration_result.message_count or 0)


class Dying:
    """Processes that consume, one after the other."""

    def __init__(self, broker_url: str, database_url: str, root: Path) -> None:
        self._arguments = (sys.executable, "-m", "tests.service.kit.dying", broker_url, database_url)
        self._root = root
        self.handled: list[str] = []

    async def life(self, until_then: Callable[[], Coroutine[None, None, object]]) -> int:
        """One process, until it dies or has done what it was there for; answers its exit status."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = await asyncio.create_subprocess_exec(
            *self._arguments, cwd=self._root, env=environment, stdout=asyncio.subprocess.PIPE
        )
        done = asyncio.create_task(until_then())
        done.add_done_callback(lambda task: None if task.cancelled() else process.terminate())
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while line := (await process.stdout.readline()).decode():
                self.handled.append(line.strip())
            status = await process.wait()
        done.cancel()
        return status


@pytest.mark.row("K22")
async def test_a_message_that_kills_the_process_is_parked_after_five_crashes_and_its_neighbours_are_handled(
    publisher: Publisher, database_of: Callable[[str], Awaitable[str]], broker_url: str, root: Path
) -> None:
    processes = Dying(broker_url, await database_of("notifications"), root)
    neighbours = [f"neighbour-{number}" for number in range(14)]
    for number, name in enumerate(neighbours):
        if number == 4:
            await send(publisher, POISON)
        await send(publisher, name.encode())
    statuses = [await processes.life(asyncio.Event().wait) for _ in range(CRASHES)]
    assert statuses == [KILLED] * CRASHES

    async def all_is_settled() -> None:
        await until(lambda: _equals(depth(broker_url, DEAD_LETTER_QUEUE), 1))
        await until(lambda: _equals(depth(broker_url, CREATED.queue), 0))
        await until(lambda: _holds(set(processes.handled) >= set(neighbours)))

    await processes.life(all_is_settled)
    async with await aio_pika.connect(broker_url) as connection:
        source = await (await connection.channel()).get_queue(DEAD_LETTER_QUEUE)
        parked = await source.get(no_ack=True)
        assert parked is not None
        assert (parked.body, parked.headers[REASON]) == (POISON, "crash_loop")
        assert await source.get(no_ack=True, fail=False) is None
    assert set(neighbours) <= set(processes.handled)
    assert POISON.decode() not in processes.handled


@pytest.mark.row("K22")
async def test_losing_the_connection_again_and_again_is_no_crash(
    publisher: Publisher, database: Database, broker_url: str
) -> None:
    began: asyncio.Queue[None] = asyncio.Queue()
    may_end = asyncio.Event()

    async def slow(_: bytes) -> Verdict:
        began.put_nowait(None)
        await may_end.wait()
        return Done()

    consumer = make_consumer(broker_url, publisher, database, slow)
    await consumer.open()
    await send(publisher, b"slow")
    for _ in range(CRASHES + 2):
        await asyncio.wait_for(began.get(), 30)
        await consumer._subscriber.wait_up()
        consumer._subscriber._broken.set()
    await asyncio.wait_for(began.get(), 30)
    may_end.set()
    await until(lambda: _empty(database))
    await consumer.close()
    assert (await depth(broker_url, DEAD_LETTER_QUEUE), await depth(broker_url, CREATED.queue)) == (0, 0)


@pytest.mark.row("K22")
async def test_a_stop_hands_back_without_counting_a_crash(
    publisher: Publisher, database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shopflow.kit.consumer._DRAIN_WITHIN", 0.1)
    began: asyncio.Queue[None] = asyncio.Queue()

    async def endless(_: bytes) -> Verdict:
        began.put_nowait(None)
        await asyncio.Event().wait()
        return Done()

    await send(publisher, b"endless")
    for _ in range(3):
        consumer = make_consumer(broker_url, publisher, database, endless)
        await consumer.open()
        await asyncio.wait_for(began.get(), 30)
        await consumer.close()
        assert await _empty(database)
    await until(lambda: _equals(depth(broker_url, CREATED.queue), 1))


def make_consumer(
    broker_url: str, publisher: Publisher, database: Database, handle: Callable[[bytes], Awaitable[Verdict]]
) -> Consumer:
    work = Work(
        queue=CREATED.queue,
        delays=DELAYS,
        pause=PAUSE_DELAY,
        wait_queue=CREATED.wait_queue,
        parking_exchange=DEAD_LETTER_EXCHANGE,
        parking_key=CREATED.dead_letter_key,
        handle=lambda message: handle(message.body),
    )
    return Consumer(
        broker_url,
        works=[work],
        topology=TOPOLOGY,
        publisher=publisher,
        metrics=Metrics(),
        handlings=Handlings(database),
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def _equals(value: Awaitable[int], wanted: int) -> bool:
    return await value == wanted


async def _holds(condition: bool) -> bool:
    return condition


async def _empty(database: Database) -> bool:
    return not await database.fetchval("SELECT count(*) FROM handlings")
