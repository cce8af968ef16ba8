"""The platform as `shopflow up` starts it: real processes, a home and ports of the test's own."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom
from typing import Any

import aiohttp
import pytest
from tests.canary import Canary

from shopflow.local.ports import is_free

PASSWORD = "S3cur3P@ssw0rd!"

_READY_WITHIN = 150
_STOPPED_WITHIN = 75


class RunningPlatform:
    """One `shopflow up` and its home."""

    def __init__(self, home: Path, base: int) -> None:
        self.home = home
        self.base = base
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SHOPFLOW_", "AWS_", "TWILIO_", "DATABASE_URL", "RABBITMQ_URL"))
            },
            "SHOPFLOW_HOME": str(home),
            "SHOPFLOW_PORT_BASE": str(base),
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def up(self) -> dict[str, Any]:
        """What `up.json` says now."""
        content: dict[str, Any] = json.loads((self.home / "up.json").read_text())
        return content

    @property
    def output(self) -> str:
        """What `up` has said."""
        return (self.home.parent / f"{self.home.name}.out").read_text()

    def leaks(self) -> list[str]:
        """Lines of its processes' logs that hold a secret: a password, a key, a token (I10)."""
        canary = Canary()
        canary.learn(PASSWORD)
        for secret in json.loads((self.home / "secrets" / "platform.json").read_text()).values():
            canary.learn(secret)
        for log in (self.home / "logs").glob("*"):
            for line in log.read_text(errors="replace").splitlines():
                canary.see(log.name, line)
        return canary.leaks()

    async def start(self) -> None:
        """Starts it and waits until it is up."""
        with (self.home.parent / f"{self.home.name}.out").open("w") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shopflow", "up",
                env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        ended = asyncio.create_task(self._process.wait())
        async with asyncio.timeout(_READY_WITHIN):
            while not (self.home / "up.json").exists():
                assert not ended.done(), self.output
                await asyncio.sleep(0.05)
        ended.cancel()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop and answers its exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Waits until it has ended and answers its exit status."""
        assert self._process is not None
        async with asyncio.timeout(_STOPPED_WITHIN):
            return await self._process.wait()


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs one `shopflow` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "shopflow", *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def free_base() -> int:
    """A base from which eleven ports in a row are free."""
    dice = SystemRandom()
    while True:
        base = dice.randrange(12_000, 19_000, 20)
        if all(is_free(base + offset) for offset in range(11)):
            return base


@asynccontextmanager
async def brought_up(home: Path) -> AsyncIterator[RunningPlatform]:
    """A platform for as long as the block lasts."""
    platform = RunningPlatform(home, free_base())
    try:
        await platform.start()
        yield platform
    finally:
        await platform.stop()
        assert platform.leaks() == []


@pytest.fixture(scope="session", autouse=True)
def _no_data_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As root the servers' data lies outside of the tests' folders, which their account cannot enter."""
    yield
    for link in tmp_path_factory.getbasetemp().glob("**/data"):
        if link.is_symlink():
            shutil.rmtree(link.readlink(), ignore_errors=True)


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningPlatform]:
    """One platform that the tests of this tier share."""
    async with brought_up(tmp_path_factory.mktemp("platform") / "home") as running:
        yield running


Call = Callable[..., Awaitable[Any]]


class Shopper:
    """A registered customer who places orders."""

    def __init__(self, http: aiohttp.ClientSession, up: dict[str, Any], *, email: str, token: str) -> None:
        self._http = http
        self._up = up
        self.email = email
        self.headers = {"Authorization": f"Bearer {token}"}

    async def order(self) -> str:
        """Places an order; answers its id."""
        async with self._http.post(f"{self._up['orders']}/orders", json=ORDER, headers=self.headers) as response:
            assert response.status == 201, await response.text()
            return str((await response.json())["id"])

    async def get(self, service: str, path: str) -> Any:
        """What a service answers this customer."""
        async with self._http.get(self._up[service] + path, headers=self.headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def received(self) -> list[dict[str, Any]]:
        """The e-mails that this customer has."""
        params = {"channel": "email", "to": self.email, "limit": "1000"}
        async with self._http.get(f"{self._up['mailbox']}/messages", params=params) as response:
            messages: list[dict[str, Any]] = await response.json()
            return messages


ORDER = {
    "items": [
        {
            "product_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "product_name": "Wireless Headphones",
            "quantity": 2,
            "unit_price": 49.99,
        }
    ],
    "shipping_address": {
        "street": "742 Evergreen Terrace",
        "city": "Springfield",
        "state": "IL",
        "zip_code": "62704",
        "country": "US",
    },
}


async def signed_in(http: aiohttp.ClientSession, up: dict[str, Any], email: str, password: str) -> str:
    """An access token of an account."""
    async with http.post(f"{up['auth']}/auth/login", json={"email": email, "password": password}) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["access_token"])


async def registered(http: aiohttp.ClientSession, up: dict[str, Any], name: str) -> Shopper:
    """A new customer, signed in."""
    body = {
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "first_name": "Jane",
        "last_name": "Doe",
        "phone": "+15551234567",
    }
    async with http.post(f"{up['auth']}/auth/register", json=body) as response:
        assert response.status == 201, await response.text()
    token = await signed_in(http, up, body["email"], body["password"])
    return Shopper(http, up, email=body["email"], token=token)


async def until(condition: Callable[[], Awaitable[bool]], *, within: float = 150) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.1)
