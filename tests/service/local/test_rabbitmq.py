"""The private RabbitMQ node: durable, loopback only, nobody's but ours."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.connection import make_url
from aio_pika.exceptions import ProbableAuthenticationError

from shopflow.local.accounts import own, server_account
from shopflow.local.failures import LocalFailure
from shopflow.local.ports import free_port, is_free
from shopflow.local.processes import identify
from shopflow.local.rabbitmq import RabbitMQ, throwaway
from shopflow.local.rabbitmq_installation import Installation, find_installation


@pytest.fixture(scope="module")
async def node() -> AsyncIterator[RabbitMQ]:
    async with throwaway() as running:
        yield running


async def _publish(node: RabbitMQ, queue: str, body: bytes) -> None:
    async with await aio_pika.connect(node.url) as connection, connection.channel() as channel:
        await channel.declare_queue(queue, durable=True)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue, mandatory=True)


async def _take(node: RabbitMQ, queue: str) -> bytes:
    async with await aio_pika.connect(node.url) as connection, connection.channel() as channel:
        declared = await channel.declare_queue(queue, durable=True, passive=True)
        message = await declared.get(timeout=5)
        assert message is not None
        await message.ack()
        return message.body


async def test_a_persistent_message_outlives_a_stop(node: RabbitMQ) -> None:
    await _publish(node, "stopped", b"kept")
    port = node.port
    await node.stop()
    await node.start()
    assert node.port == port
    assert await _take(node, "stopped") == b"kept"


async def test_a_confirmed_message_outlives_a_kill(node: RabbitMQ) -> None:
    await _publish(node, "killed", b"first")
    await _take(node, "killed")
    await node.stop()  # a queue that is new this moment may be lost in a kill; the stop brings it to the disk
    await node.start()
    await _publish(node, "killed", b"kept")
    assert node.child is not None
    node.child.kill()
    await node.wait()
    await node.start()
    assert await _take(node, "killed") == b"kept"


async def test_a_first_start_that_hangs_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shopflow.local.rabbitmq.FIRST_START_SECONDS", 4.0)
    account = server_account()
    folder = Path(
        tempfile.mkdtemp(prefix="shopflow-hanging-")
    )  # pytest's own folders are closed to the server's account
    own(account, folder)
    real = await find_installation(account, say=print)
    server = folder / "server"
    server.write_text(
        f'#!/bin/sh\n[ -e {folder}/hung ] || {{ touch {folder}/hung; exec sleep 60; }}\nexec {real.server} "$@"\n'
    )
    server.chmod(0o755)
    said: list[str] = []
    node = RabbitMQ(folder, password="x" * 16, installation=Installation(server, real.environment), say=said.append)
    try:
        await node.start()
        await _publish(node, "alive", b"yes")
        assert await _take(node, "alive") == b"yes"
    finally:
        await node.stop()
        shutil.rmtree(folder)
    assert ["once more" in line for line in said] == [True]


@pytest.mark.parametrize("credentials", ["guest:guest", "shopflow:wrong"])
async def test_nobody_else_is_let_in(node: RabbitMQ, credentials: str) -> None:
    url = make_url(f"amqp://{credentials}@127.0.0.1:{node.port}/")
    async with aio_pika.Connection(url) as connection:  # `connect()` leaves one that is refused to a task of nobody's
        with pytest.raises(ProbableAuthenticationError):
            await connection.connect()


async def test_it_listens_on_loopback_only(node: RabbitMQ) -> None:
    assert node.child is not None
    with socket.create_connection(("127.0.0.1", node.port)), pytest.raises(OSError, match="refused"):
        socket.create_connection((_other_address(), node.port), timeout=2).close()


async def test_what_it_does_every_minute_leaves_no_epmd_behind(node: RabbitMQ) -> None:
    """It runs an emulator with a name for a moment, so that this brings up an epmd; nobody would ever end that one."""
    port = free_port()
    installation = await find_installation(server_account(), say=print)
    environment = node._environment(installation, free_port()) | {"ERL_EPMD_PORT": str(port)}
    arguments = ("-boot", "no_dot_erlang", "-sname", "epmd-starter-1", "-noinput", "-s", "erlang", "halt")
    starter = await asyncio.create_subprocess_exec("erl", *arguments, env=environment, stdout=subprocess.DEVNULL)
    try:
        await starter.wait()
        assert is_free(port)
    finally:
        left = await asyncio.create_subprocess_exec("epmd", "-kill", env=environment, stdout=subprocess.DEVNULL)
        await left.wait()


async def test_stopping_leaves_no_process_and_no_folder() -> None:
    async with throwaway() as node:
        assert node.child is not None
        process = node.child.identity
    assert identify(process.pid) != process
    assert not node.folder.exists()


async def test_a_path_that_rabbitmq_takes_for_a_pattern_is_refused_with_the_remedy(node: RabbitMQ) -> None:
    with pytest.raises(LocalFailure, match="set SHOPFLOW_HOME"):
        await RabbitMQ(node.folder / "a[b]", password="x").start()


def _other_address() -> str:
    """An address of this machine beside 127.0.0.1; all of 127/8 reaches it."""
    return "127.0.0.2"
