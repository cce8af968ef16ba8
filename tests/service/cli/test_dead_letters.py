"""`shopflow dead-letters`: what was parked is listed, shown, put back into its queue, discarded (R78)."""

import asyncio
import getpass
import json
import subprocess
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from tests.conftest import MakeDatabase
from tests.service.cli.test_serve import run

from shopflow.contracts.topology import SUBSCRIPTIONS, consumer_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.notifications import dead_letters, parking

CREATED = SUBSCRIPTIONS[0]
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
EVENT = (
    b'{"event_id": "b2c3d4e5-f6a7-8901-bcde-f12345678901", "event_type": "OrderCreated",'
    b' "payload": {"order_id": "%s", "user_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890"}}'
)


class Desk:
    """A database with parked messages, and the command line on it."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def park(self, *, reason: str = "provider_failed", key: str = CREATED.dead_letter_key) -> tuple[str, str]:
        """One parked message; answers its id and its order's."""
        database, order_id = Database(self.url, size=1), str(uuid4())
        await database.open()
        try:
            headers = {"traceparent": "00-1-1-01", "x-shopflow-attempt": 3}
            parked = parking.parked(
                EVENT % order_id.encode(), headers, routing_key=key, message_id=order_id, retries=3, reason=reason
            )
            await dead_letters.keep(database, parked)
            found = await database.fetchval("SELECT id FROM dead_letters WHERE order_id = $1", parked.told.order_id)
            return str(found), order_id
        finally:
            await database.close()

    async def rows(self, statement: str) -> list[asyncpg.Record]:
        """What the database holds."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def command(self, *words: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """One command to its end, which must have this exit status."""
        given = {"DATABASE_URL": self.url, **environment}
        ended = await asyncio.to_thread(run, "dead-letters", *words, **given)
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    async def json(self, *words: str, status: int = 0, **environment: str) -> Any:
        """What a command prints with --json."""
        return json.loads((await self.command(*words, "--json", status=status, **environment)).stdout)


@pytest.fixture
async def desk(database_of: MakeDatabase) -> Desk:
    return Desk(await database_of("notifications"))


@pytest.fixture
async def queue(broker_url: str) -> Callable[[], Any]:
    """Declares what the services declare; takes the next message of the queue of placed orders, or None."""
    publisher = Publisher(broker_url, name="test", topology=consumer_topology("quorum"), metrics=Metrics())
    await publisher.open()
    async with asyncio.timeout(60):
        await publisher.wait_up()
    await publisher.close()

    async def take() -> aio_pika.abc.AbstractIncomingMessage | None:
        async with await aio_pika.connect(broker_url) as connection:
            channel = await connection.channel()
            return await (await channel.get_queue(CREATED.queue)).get(fail=False, no_ack=True)

    return take


async def test_open_messages_are_listed_and_shown(desk: Desk) -> None:
    one, order_id = await desk.park()
    two, _ = await desk.park(reason="order_not_found")
    assert [each["id"] for each in await desk.json("list")] == [two, one]
    assert [each["id"] for each in await desk.json("list", "--reason", "provider_failed")] == [one]
    assert [each["id"] for each in await desk.json("list", "--order-id", order_id, "--state", "all")] == [one]
    assert await desk.json("list", "--state", "discarded") == []
    listed = await desk.command("list", "--limit", "1")
    assert listed.stdout.startswith(two)
    assert "1 more" in listed.stderr
    shown = await desk.json("show", one)
    assert (shown["body"], shown["attempts"]) == ((EVENT % order_id.encode()).decode(), 4)
    text = (await desk.command("show", one)).stdout
    assert "provider_failed" in text
    assert text.endswith(shown["body"] + "\n")


async def test_messages_go_back_to_their_queue_as_they_were(desk: Desk, queue: Any, broker_url: str) -> None:
    one, order_id = await desk.park()
    two, _ = await desk.park(reason="order_not_found")
    told = await desk.json("replay", one, "--dry-run")
    assert [(each["id"], each["channels"]) for each in told["would_send"]] == [(one, None)]
    assert (await desk.json("replay", "--all", "--dry-run"))["matched"] == 2
    assert await queue() is None
    assert await desk.json("replay", one, "--reason", "mended", RABBITMQ_URL=broker_url) == {
        "matched": 1,
        "replayed": 1,
    }
    message = await queue()
    assert (message.body, message.message_id) == (EVENT % order_id.encode(), order_id)
    assert {name: value for name, value in message.headers.items() if name != "x-delivery-count"} == {
        "traceparent": "00-1-1-01"
    }
    [action] = await desk.rows("SELECT * FROM dead_letter_actions")
    assert (action["actor"], action["reason"]) == (f"cli:{getpass.getuser()}", "mended")
    assert action["confirmed_at"] is not None
    ended = await desk.command("replay", "--all", RABBITMQ_URL=broker_url)
    assert ended.stdout == "1 of 1 went back to their queues\n"
    assert (await desk.json("replay", "--all", RABBITMQ_URL=broker_url)) == {"matched": 0, "replayed": 0}
    assert {row["id"] for row in await desk.json("list", "--state", "replayed")} == {one, two}


async def test_thousands_go_back_in_one_command(desk: Desk, queue: Any, broker_url: str) -> None:
    await desk.park()
    await desk.rows(
        """
        INSERT INTO dead_letters (id, routing_key, message_id, digest, reason, attempts, headers, body)
        SELECT gen_random_uuid(), routing_key, number::text, digest, reason, attempts, headers, body
        FROM dead_letters, generate_series(1, 1500) AS number
        """
    )
    result = await desk.json("replay", "--parked-reason", "provider_failed", RABBITMQ_URL=broker_url)
    assert result == {"matched": 1501, "replayed": 1501}
    assert await queue() is not None
    [row] = await desk.rows("SELECT count(*) FROM dead_letters WHERE state = 'open'")
    assert row[0] == 0


async def test_messages_are_discarded_with_a_reason(desk: Desk) -> None:
    one, _ = await desk.park()
    ended = await desk.command("discard", one, str(uuid4()), "--reason", "a test order", status=1)
    assert ended.stdout == "1 of 2 discarded\n"
    assert "There is no such dead-letter." in ended.stderr
    [action] = await desk.rows("SELECT * FROM dead_letter_actions")
    told = (action["action"], action["actor"], action["reason"])
    assert told == ("discard", f"cli:{getpass.getuser()}", "a test order")
    assert await desk.json("list") == []


async def test_what_is_given_wrongly_is_told_and_does_nothing(desk: Desk, broker_url: str) -> None:
    one, _ = await desk.park()
    for words, said in (
        (("show", "1"), "1 is not an id"),
        (("replay",), "name ids, or a filter, or --all"),
        (("replay", "--parked-from", "yesterday"), "--parked-from must be an RFC 3339 timestamp"),
        (("replay", "--all"), "RABBITMQ_URL"),
        (("list", "--limit", "0"), "--limit"),
        (("discard", one, "--reason", " "), "--reason must not be blank"),
    ):
        assert said in (await desk.command(*words, status=2)).stderr, words
    missing = await desk.command("show", str(uuid4()), status=1)
    assert "There is no parked message" in missing.stderr
    unknown = await desk.command("replay", str(uuid4()), status=1, RABBITMQ_URL=broker_url)
    assert "There is no such dead-letter." in unknown.stderr
    assert "does not answer" in (await desk.command("list", status=1, DATABASE_URL=NOWHERE)).stderr
    assert (await desk.rows("SELECT count(*) FROM dead_letter_actions"))[0][0] == 0


async def test_another_services_database_is_recognised(database_of: MakeDatabase) -> None:
    desk = Desk(await database_of("orders"))
    assert "shopflow migrate notifications" in (await desk.command("list", status=1)).stderr


async def test_without_the_broker_nothing_is_replayed(desk: Desk) -> None:
    one, _ = await desk.park()
    ended = await desk.command("replay", one, status=1, RABBITMQ_URL="amqp://guest:guest@127.0.0.1:9/")
    assert "The broker does not answer" in ended.stderr
    [letter] = await desk.json("list")
    assert letter["state"] == "open"
