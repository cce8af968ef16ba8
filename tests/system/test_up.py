"""`shopflow up`, `down`, `status`, `logs`, `demo`: what a person types, and what is left when it ends."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from tests.system.conftest import RunningPlatform, brought_up, command, free_base, registered

pytestmark = pytest.mark.timeout(360)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


async def test_a_stop_leaves_no_process_and_the_next_up_still_knows_the_order(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with brought_up(tmp_path / "home") as platform:
        pids = list(platform.up["pids"].values())
        shopper = await registered(http, platform.up, "again")
        order = await shopper.order()
        assert await platform.stop(signal.SIGINT) == 0
        assert [pid for pid in pids if alive(pid)] == []
        assert not (platform.home / "up.json").exists()
        await platform.start()
        assert (await shopper.get("orders", f"/orders/{order}"))["id"] == order
        stopped = await asyncio.to_thread(command, platform.environment, "down")
        assert (stopped.returncode, await platform.ended()) == (0, 0)


async def test_two_platforms_run_side_by_side(platform: RunningPlatform, tmp_path: Path) -> None:
    async with brought_up(tmp_path / "other") as other:
        told = [json.loads(command(each.environment, "demo", "--json").stdout) for each in (platform, other)]
    assert all(len(each["messages"]) == 4 for each in told)
    assert told[0]["order"]["id"] != told[1]["order"]["id"]


async def test_a_second_up_in_the_same_home_is_refused(platform: RunningPlatform) -> None:
    second = await asyncio.to_thread(command, platform.environment, "up")
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1
    assert command(platform.environment, "status").returncode == 0


async def test_a_port_that_is_taken_is_named_with_its_remedy_and_nothing_is_left(tmp_path: Path) -> None:
    base = free_base()
    environment = {**os.environ, "SHOPFLOW_HOME": str(tmp_path / "home"), "SHOPFLOW_PORT_BASE": str(base)}
    with socket.create_server(("127.0.0.1", base + 2)):
        refused = await asyncio.to_thread(command, environment, "up")
    assert refused.returncode == 1
    assert str(base + 2) in refused.stderr
    assert "SHOPFLOW_PORT_BASE" in refused.stderr
    assert not (tmp_path / "home" / "up.json").exists()


async def test_half_a_set_of_provider_variables_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "SHOPFLOW_HOME": str(tmp_path / "home"), "AWS_SES_REGION": "us-east-1"}
    refused = await asyncio.to_thread(command, environment, "up")
    assert refused.returncode == 1
    assert "AWS_SES_FROM_EMAIL" in refused.stderr


async def test_status_and_logs_tell_of_every_part(platform: RunningPlatform) -> None:
    parts = json.loads(command(platform.environment, "status", "--json").stdout)
    assert {part["name"] for part in parts} == set(platform.up["pids"])
    logs = command(platform.environment, "logs", "orders")
    assert all(json.loads(line)["service"] == "order-service" for line in logs.stdout.splitlines() if line[:1] == "{")


async def test_up_json_is_for_its_owner_only(platform: RunningPlatform) -> None:
    assert (platform.home / "up.json").stat().st_mode & 0o777 == 0o600


def test_without_a_platform_demo_and_status_say_so(tmp_path: Path) -> None:
    environment = {**os.environ, "SHOPFLOW_HOME": str(tmp_path)}
    assert command(environment, "demo").returncode == 3
    assert command(environment, "status").returncode == 3
    assert "make up" in command(environment, "demo").stderr
