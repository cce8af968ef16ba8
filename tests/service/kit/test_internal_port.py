"""A second port for operators: what they read is there and nowhere else, and both come and go together."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.service.kit.stand import Gate, application

from shopflow.kit.listening import PortTaken
from shopflow.kit.server import running
from shopflow.local.ports import free_port

OPERATORS = ("/metrics", "/ready", "/openapi.json", "/docs", "/docs/start.js")
EVERYBODY = ("/health", "/things/x", "/who")


@asynccontextmanager
async def both(gate: Gate | None = None) -> AsyncIterator[tuple[str, str]]:
    """The application on two ports; answers the public and the internal base URL."""
    public, internal = free_port(), free_port()
    async with running(application(gate=gate), host="127.0.0.1", port=public, internal_port=internal):
        yield f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}"


async def test_what_operators_read_is_on_their_port_alone(http: aiohttp.ClientSession) -> None:
    async with both() as (public, internal):
        for path in OPERATORS:
            for written in (path, f"{path}/", f"/{path}", f"{path}?x=1", path.replace("e", "%65")):
                async with http.get(public + written, headers={"Accept": "text/html"}) as response:
                    assert response.status == 404, written
                    assert (await response.json(content_type=None))["type"].endswith(":path-not-found")
            for method in ("OPTIONS", "HEAD", "POST"):
                async with http.request(method, public + path) as response:
                    assert response.status == 404
            async with http.get(internal + path) as response:
                assert response.status == 200


async def test_everything_else_is_on_both_ports(http: aiohttp.ClientSession) -> None:
    async with both() as (public, internal):
        for path in EVERYBODY:
            for base in (public, internal):
                async with http.get(base + path) as response:
                    assert response.status == 200
        for base in (public, internal):
            async with http.post(f"{base}/between") as response:
                assert response.status == 201


async def test_without_it_everything_is_on_the_one_port(http: aiohttp.ClientSession) -> None:
    port = free_port()
    async with running(application(), host="127.0.0.1", port=port):
        for path in (*OPERATORS, *EVERYBODY):
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status == 200


@pytest.mark.parametrize("which", ["public", "internal"])
async def test_a_port_that_is_taken_is_named_whichever_it_is_and_the_other_one_is_let_go(which: str) -> None:
    taken, free = free_port(), free_port()
    port, internal_port = (taken, free) if which == "public" else (free, taken)
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(PortTaken, match=str(taken)):
        async with running(application(), host="127.0.0.1", port=port, internal_port=internal_port):
            pass
    socket.create_server(("127.0.0.1", free)).close()


async def test_one_port_cannot_be_both() -> None:
    port = free_port()
    with pytest.raises(PortTaken, match=str(port)):
        async with running(application(), host="127.0.0.1", port=port, internal_port=port):
            pass


async def test_a_stop_finishes_what_runs_on_both_and_lets_both_ports_go(http: aiohttp.ClientSession) -> None:
    gate = Gate()
    async with both(gate) as (public, internal):
        asked = [asyncio.create_task(status(http, f"{base}/waits")) for base in (public, internal)]
        await gate.waits_for(2)
        asyncio.get_running_loop().call_later(0.2, gate.opened.set)
    assert [await each for each in asked] == [200, 200]
    for base in (public, internal):
        socket.create_server(("127.0.0.1", int(base.rpartition(":")[2]))).close()


async def test_a_process_serves_both_and_ends_cleanly(http: aiohttp.ClientSession) -> None:
    public, internal = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "JWT_SECRET": "s" * 32,
        "PORT": str(public), "INTERNAL_PORT": str(internal),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shopflow", "auth", "serve", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while await status(http, f"http://127.0.0.1:{public}/health") != 200:
                await asyncio.sleep(0.1)
        assert await status(http, f"http://127.0.0.1:{public}/metrics") == 404
        assert await status(http, f"http://127.0.0.1:{internal}/metrics") == 200
        assert await status(http, f"http://127.0.0.1:{internal}/ready") == 503
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def status(http: aiohttp.ClientSession, url: str) -> int:
    """The status of a GET, 0 when nobody answers."""
    try:
        async with http.get(url) as response:
            await response.read()
            return response.status
    except aiohttp.ClientConnectionError:
        return 0
