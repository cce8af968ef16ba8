"""A link to a broker that is not there."""

import asyncio

from shopflow.contracts.topology import events_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq import Publisher
from shopflow.local.ports import free_port


async def test_a_link_can_be_closed_at_any_moment_of_a_failing_connect() -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with asyncio.timeout(30):
        for turn in range(200):
            publisher = Publisher(url, name="test", topology=events_topology("quorum"), metrics=Metrics())
            await publisher.open()
            await asyncio.sleep(turn % 40 * 0.0003)  # the moments in which a cancellation meets the refusal
            await publisher.close()
