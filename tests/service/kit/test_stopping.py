"""The end of a service: bounded, whatever its clients and the things it depends on do."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import aio_pika
from litestar import post
from litestar.params import JSONBody

from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    EVENTS_EXCHANGE,
    PAUSE_DELAY,
    SUBSCRIPTIONS,
    consumer_topology,
)
from shopflow.kit.answers import json_body
from shopflow.kit.consumer import Consumer, Done, Verdict, Work
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.kit.server import running
from shopflow.kit.service import Application, Resource
from shopflow.local.ports import free_port
from shopflow.local.rabbitmq import RabbitMQ

CREATED = SUBSCRIPTIONS[0]
TOPOLOGY = consumer_topology("quorum")


class Slow:
    """Something that takes for ever to close, or no time at all."""

    def __init__(self, *, seconds: float = 0) -> None:
        self._seconds = seconds
        self.closed = False

    async def open(self) -> None:
        """There at once."""

    async def close(self) -> None:
        await asyncio.sleep(self._seconds)
        self.closed = True


def application(resources: list[Resource]) -> Application:
    @post("/things", dto=json_body(dict[str, Any]), return_dto=None)
    async def make(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        return data

    return Application(
        name="thing-service", summary="Things.", routes=[make], resources=resources, dependencies=[],
        metrics=Metrics(), max_body=1000,
    )  # fmt: skip


@asynccontextmanager
async def half_a_request(port: int) -> AsyncIterator[None]:
    """A client that announces a body and never sends it."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
    await writer.drain()
    try:
        yield
    finally:
        writer.close()


async def test_a_service_ends_in_time_though_a_client_and_a_resource_never_do() -> None:
    first, last = Slow(), Slow(seconds=3600)
    served = application([first, last])
    port = free_port()
    async with running(served, host="127.0.0.1", port=port), half_a_request(port):
        async with asyncio.timeout(60):
            while not served.in_flight:
                await asyncio.sleep(0.01)
        began = monotonic()
    assert monotonic() - began < 10
    assert first.closed
    assert not last.closed


async def test_a_service_ends_in_time_though_its_broker_hangs_and_a_message_is_being_handled(
    rabbitmq: RabbitMQ, broker_url: str
) -> None:
    begun = asyncio.Event()

    async def never_done(_: bytes) -> Verdict:
        begun.set()
        await asyncio.Event().wait()
        return Done()

    metrics = Metrics()
    publisher = Publisher(broker_url, name="copies", topology=TOPOLOGY, metrics=metrics)
    work = Work(
        queue=CREATED.queue, delays=[], pause=PAUSE_DELAY, wait_queue=CREATED.wait_queue,
        parking_exchange=DEAD_LETTER_EXCHANGE, parking_key=CREATED.dead_letter_key,
        handle=lambda message: never_done(message.body),
    )  # fmt: skip
    consumer = Consumer(broker_url, works=[work], topology=TOPOLOGY, publisher=publisher, metrics=metrics)
    first = Slow()
    assert rabbitmq.child is not None
    try:
        async with running(application([first, publisher, consumer]), host="127.0.0.1", port=free_port()):
            await publisher.wait_up()
            await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"{}", message_id="m", headers={})
            async with asyncio.timeout(60):
                await begun.wait()
            os.kill(rabbitmq.child.identity.pid, signal.SIGSTOP)
            began = monotonic()
        assert monotonic() - began < 6  # what is left of ten seconds is the clients'
    finally:
        os.kill(rabbitmq.child.identity.pid, signal.SIGCONT)
    assert first.closed
    async with await aio_pika.connect(broker_url) as connection:
        queue = await (await connection.channel()).get_queue(CREATED.queue)
        async with asyncio.timeout(60):  # what was not finished is the broker's again
            while await queue.get(fail=False) is None:
                await asyncio.sleep(0.05)
