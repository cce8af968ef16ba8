"""What tests of the broker's wires begin with: a publisher that is up, and a relay between it and an outbox."""

from collections.abc import AsyncIterator

import pytest
from tests.service.kit.dying import DELAYS

from shopflow.contracts.topology import EVENTS_EXCHANGE, consumer_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker_url, name="test", topology=consumer_topology("quorum", DELAYS), metrics=Metrics())
    await publisher.open()
    await publisher.wait_up()
    yield publisher
    await publisher.close()


@pytest.fixture
async def relay(database: Database, publisher: Publisher) -> AsyncIterator[Relay]:
    relay = Relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=Metrics())
    await relay.open()
    yield relay
    await relay.close()
