"""The demo: one order's story against a running platform, told step by step, with what the customer received.

Reads `up.json` and speaks HTTP only: it does what any integrator could do. It changes nothing but by the API.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import aiohttp

from shopflow.local.failures import LocalFailure
from shopflow.orders.bodies import PLACE_ORDER_SAMPLE

_PATIENCE: Final = 30.0
_MESSAGES: Final = 4

_PASSWORD: Final = "S3cur3P@ssw0rd!"  # noqa: S105 - of a customer made up for the demo


class Story:
    """Plays the story.

    Args:
        up: the content of `up.json`.
        say: told each step.
    """

    def __init__(self, up: Mapping[str, Any], *, say: Callable[[str], None]) -> None:
        self._up = up
        self._say = say

    async def play(self) -> dict[str, Any]:
        """Registers, signs in, orders, confirms, ships, delivers, and waits for the four messages.

        Returns:
            The order as it is at the end, its history, and the messages, for programs.

        Raises:
            LocalFailure: a step was not answered as it should be, or the messages did not come.
        """
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
                return await self._play(http)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LocalFailure(
                f"The platform does not answer ({type(error).__name__}); see: shopflow status"
            ) from error

    async def _play(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        email = f"jane.doe.{uuid4().hex[:8]}@shopflow.example"
        customer = {"email": email, "password": _PASSWORD, "first_name": "Jane", "last_name": "Doe"}
        await self._step(http, "POST", "auth", "/auth/register", body={**customer, "phone": "+15551234567"})
        self._say(f"registered {email}")
        token = await self._signed_in(http, email, _PASSWORD)
        order = await self._step(http, "POST", "orders", "/orders", token=token, body=PLACE_ORDER_SAMPLE)
        self._say(f"ordered {len(order['items'])} lines for {order['total_amount']} {order['currency']}: {order['id']}")
        admin = await self._signed_in(http, self._up["admin"]["email"], self._up["admin"]["password"])
        for status in ("confirmed", "shipped", "delivered"):
            path = f"/orders/{order['id']}/status"
            await self._step(http, "PATCH", "orders", path, token=admin, body={"status": status})
            self._say(f"{status} by the admin")
        notifications = await self._notified(http, token, order["id"])
        messages = await self._received(http, token, notifications)
        order = await self._step(http, "GET", "orders", f"/orders/{order['id']}", token=token)
        history = await self._step(http, "GET", "orders", f"/orders/{order['id']}/history", token=token)
        return {"order": order, "history": history["data"], "notifications": notifications, "messages": messages}

    async def _signed_in(self, http: aiohttp.ClientSession, email: str, password: str) -> str:
        answer = await self._step(http, "POST", "auth", "/auth/login", body={"email": email, "password": password})
        self._say(f"signed in as {email}")
        return str(answer["access_token"])

    async def _step(
        self,
        http: aiohttp.ClientSession,
        method: str,
        service: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with http.request(method, self._up[service] + path, headers=headers, json=body) as response:
            if not response.ok:
                raise LocalFailure(f"{method} {path} answered {response.status}: {await response.text()}")
            return await response.json()

    async def _notified(self, http: aiohttp.ClientSession, token: str, order_id: str) -> list[dict[str, Any]]:
        """Waits until two e-mails and two SMS about the order are sent."""
        started = perf_counter()
        while True:
            log = await self._step(http, "GET", "notifications", f"/notifications?order_id={order_id}", token=token)
            sent = [each for each in log["data"] if each["status"] == "sent"]
            if len(sent) == _MESSAGES:
                self._say(f"{len(sent)} messages sent")
                return sorted(sent, key=lambda each: str(each["sent_at"]))
            if perf_counter() - started > _PATIENCE:
                raise LocalFailure(
                    f"Only {len(sent)} of {_MESSAGES} messages went out; see: shopflow logs notifications"
                )
            await asyncio.sleep(0.05)

    async def _received(
        self, http: aiohttp.ClientSession, token: str, notifications: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The same messages as the mailbox has them; where mail is real, there are none to show."""
        received = []
        for notification in notifications:
            detail = await self._step(http, "GET", "notifications", f"/notifications/{notification['id']}", token=token)
            async with http.get(f"{self._up['mailbox']}/messages/{detail['provider_ref']}") as response:
                if response.ok:
                    received.append(await response.json())
        return received
