"""The attack on a platform as `make up` starts it: a short form of it, and nothing found."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import RunningPlatform, brought_up, command

pytestmark = pytest.mark.timeout(500)


def attacked(platform: RunningPlatform, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the attack to its end, as `make attack` does."""
    whole = [sys.executable, "-m", "tests.attack", "--home", str(platform.home), "--json", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=360, check=False)


async def test_an_attack_on_a_running_platform_finds_nothing_and_leaves_it_usable(tmp_path: Path) -> None:
    async with brought_up(tmp_path / "home") as platform:
        said = await asyncio.to_thread(attacked, platform, "--seconds", "320", "--share", "0.1")
        told = json.loads(said.stdout)
        found = [(each["name"], each["broken"], each["findings"]) for each in told["attacks"]]
        assert [each for each in found if each[1] or each[2]] == []
        assert (said.returncode, told["found"]) == (0, 0)
        assert len(told["attacks"]) > 40
        assert sum(each["tries"] for each in told["attacks"]) > 2000
        assert (await asyncio.to_thread(command, platform.environment, "status")).returncode == 0
        await once_it_is_let_in(platform)


async def once_it_is_let_in(platform: RunningPlatform) -> None:
    """Plays the demo: this machine's own address may have used up its minute, and then there is room a minute later."""
    async with asyncio.timeout(120):
        while (played := await asyncio.to_thread(command, platform.environment, "demo", "--json")).returncode:
            assert "too-many-requests" in played.stderr, played.stderr
            await asyncio.sleep(1)
