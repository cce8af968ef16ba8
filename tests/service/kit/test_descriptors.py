"""A service that runs out of descriptors: it goes on, without spinning, and is well again afterwards (H-15)."""

import asyncio
import errno
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from shopflow.kit import listening
from shopflow.local.ports import free_port

FEW = 128
SERVE = """
import resource, uvloop
from shopflow.kit import logs
from shopflow.kit.server import serve
from tests.service.kit.stand import application
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
logs.configure(service="thing-service", level="error")
uvloop.run(serve(application(), host="127.0.0.1", port={port}))
"""


@asynccontextmanager
async def served(root: Path, *, soft: int, hard: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process of its own with so few descriptors, and its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE.format(soft=soft, hard=hard, port=port), cwd=root
    )
    try:
        async with asyncio.timeout(60):
            while not reachable(port):
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        await process.wait()


def reachable(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def cpu_seconds(pid: int) -> float:
    """The time that a process has spent working."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.row("H-15")
async def test_without_a_descriptor_left_it_waits_without_spinning_and_recovers(
    root: Path, http: aiohttp.ClientSession
) -> None:
    async with served(root, soft=FEW, hard=FEW) as (process, port):
        with ExitStack() as stack:
            for _ in range(FEW * 3):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            descriptors = Path(f"/proc/{process.pid}/fd")
            began, worked = monotonic(), cpu_seconds(process.pid)
            most = 0
            while monotonic() - began < 3:
                most = max(most, len(list(descriptors.iterdir())))
                await asyncio.sleep(0.1)
            assert cpu_seconds(process.pid) - worked < 0.5
            assert most < FEW  # it never takes the last one, so that its database can still be reached
        async with asyncio.timeout(20), http.get(f"http://127.0.0.1:{port}/things/x") as response:
            assert response.status == 200
        assert process.returncode is None


async def test_a_service_takes_as_many_descriptors_as_it_may(root: Path) -> None:
    async with served(root, soft=FEW, hard=1000) as (process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert line.split()[3:5] == ["1000", "1000"]


@pytest.mark.parametrize(
    ("limit", "connections"),
    [(resource.RLIM_INFINITY, 4096), (1_000_000, 4096), (4096, 3456), (1024, 512), (256, 128), (20, 16)],
)
def test_connections_leave_descriptors_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, limit: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert listening.affordable_connections() == connections


async def test_the_kernel_drops_a_connection_that_takes_nothing() -> None:
    loop = asyncio.get_running_loop()
    with listening.listener("127.0.0.1", 0, takes_within=1.0) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, server.getsockname())
        accepted, _ = await loop.sock_accept(server)
        with accepted, pytest.raises(TimeoutError) as dropped:
            await asyncio.wait_for(without_end(accepted), 30)
        assert dropped.value.errno == errno.ETIMEDOUT  # the kernel's word, not this test's


async def without_end(connection: socket.socket) -> None:
    """Sends and sends."""
    while True:
        await asyncio.get_running_loop().sock_sendall(connection, b"x" * 65536)


def test_a_listener_is_alone_on_its_port() -> None:
    with (
        listening.listener("127.0.0.1", 0) as first,
        pytest.raises(listening.PortTaken),
        listening.listener("127.0.0.1", first.getsockname()[1]),
    ):
        pass
