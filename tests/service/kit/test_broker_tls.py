"""A broker behind TLS (`amqps://`): its authority must be trusted, and it must be the host that was asked for."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
import structlog
from tests import tls
from tests.service.kit.dying import DELAYS

from shopflow.contracts.topology import EVENTS_EXCHANGE, SUBSCRIPTIONS, consumer_topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.rabbitmq.publisher import Publisher

CREATED = SUBSCRIPTIONS[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    return tls.certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def tls_url(broker_url: str, certificate: Path) -> AsyncIterator[str]:
    """The broker behind TLS, as localhost."""
    plain = urlsplit(broker_url)
    async with tls.unwrapped(certificate, plain.port or 5672) as port:
        yield f"amqps://{plain.username}:{plain.password}@localhost:{port}{plain.path}"


@asynccontextmanager
async def connecting(url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(url, name="test", topology=consumer_topology("quorum", DELAYS), metrics=Metrics())
    await publisher.open()
    try:
        yield publisher
    finally:
        await publisher.close()


async def until_refused(said: Sequence[Mapping[str, Any]]) -> None:
    """Waits until the log tells of two tries."""
    async with asyncio.timeout(20):
        while sum(each["event"] == "broker_unreachable" for each in said) < 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("named_in", ["environment", "url"])
async def test_a_broker_whose_authority_is_named_is_spoken_to_over_tls(
    tls_url: str, broker_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, named_in: str
) -> None:
    if named_in == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    else:
        tls_url += f"?cafile={certificate}"
    async with connecting(tls_url) as publisher:
        await publisher.wait_up()
        await publisher.publish(EVENTS_EXCHANGE, CREATED.routing_key, b"{}", message_id="the-one", headers={})
    async with await aio_pika.connect(broker_url) as connection:
        queue = await (await connection.channel()).get_queue(CREATED.queue, ensure=False)
        message = await queue.get()
        assert (message.message_id, message.body) == ("the-one", b"{}")
        await message.ack()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_broker_that_nobody_vouches_for_or_of_another_name_is_told_nothing(
    tls_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    if host != "localhost":  # then it is trusted, and not the one that was asked for
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with structlog.testing.capture_logs() as said:
        async with connecting(tls_url.replace("localhost", host)) as publisher:
            await until_refused(said)
            assert not await publisher.answers()
    assert {each["error"] for each in said if each["event"] == "broker_unreachable"} == {"AMQPConnectionError"}
