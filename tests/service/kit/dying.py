"""A consumer in a process of its own, which one of its messages kills; run by test_crash_loops.py.

Says on stdout what it has handled, and that it is there.
"""

import asyncio
import os
import signal
import sys

from shopflow.contracts.topology import DEAD_LETTER_EXCHANGE, PAUSE_DELAY, SUBSCRIPTIONS, consumer_topology
from shopflow.kit.consumer import Consumer, Done, Verdict, Work
from shopflow.kit.handlings import Handlings
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher

CREATED = SUBSCRIPTIONS[0]
DELAYS = (0.1, 0.2, 0.4)
POISON = b"poison"


async def handle(body: bytes) -> Verdict:
    """Dies of the poison at once; takes its time for everything else, so that it is begun beside the poison."""
    if body == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0.05)
    sys.stdout.write(f"{body.decode()}\n")
    sys.stdout.flush()
    return Done()


async def main(broker_url: str, database_url: str) -> None:
    """Consumes until killed."""
    topology = consumer_topology("quorum", DELAYS)
    database = Database(database_url)
    await database.open()
    publisher = Publisher(broker_url, name="dying-copies", topology=topology, metrics=Metrics())
    await publisher.open()
    await publisher.wait_up()
    work = Work(
        queue=CREATED.queue,
        delays=DELAYS,
        pause=PAUSE_DELAY,
        wait_queue=CREATED.wait_queue,
        parking_exchange=DEAD_LETTER_EXCHANGE,
        parking_key=CREATED.dead_letter_key,
        handle=lambda message: handle(message.body),
    )
    consumer = Consumer(
        broker_url,
        works=[work],
        topology=topology,
        publisher=publisher,
        metrics=Metrics(),
        handlings=Handlings(database),
    )
    await consumer.open()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
