"""Both sides of an order for one test: an order-service and the database of a notification-service, and later that
service itself, on a real broker; and the ways in which the one side may lose what it owes the other.
"""

import asyncio
import dataclasses
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
from tests.conftest import Serve
from tests.service.cli.test_serve import run
from tests.service.notifications.neighbours import Orders
from tests.service.notifications.shop import Service, until
from tests.service.notifications.shop import Shop as Notifications
from tests.service.orders import shop as orders
from tests.service.orders.shop import Shop

from shopflow.cli.comparison import Asked, Comparison, Sum
from shopflow.cli.finding import Finding
from shopflow.contracts.events import EventType
from shopflow.contracts.identity import Profile, Role
from shopflow.contracts.topology import ROUTING_KEYS, SUBSCRIPTIONS
from shopflow.kit.postgres import Database, Row
from shopflow.notifications import dead_letters, parking, store
from shopflow.notifications.app import build
from shopflow.notifications.notification import ChannelName, notification_id
from shopflow.notifications.original import original
from shopflow.notifications.settings import Settings
from shopflow.notifications.store import Event, Fresh
from shopflow.orders import app as orders_app
from shopflow.orders.announcement import event_id

_OURS_AGES = """
WITH aged AS (
    UPDATE outbox SET created_at = created_at - interval '1 hour', published_at = published_at - interval '1 hour'
)
UPDATE orders SET created_at = created_at - interval '1 hour', confirmed_at = confirmed_at - interval '1 hour',
    shipped_at = shipped_at - interval '1 hour', updated_at = updated_at - interval '1 hour'
"""

_THEIRS_AGES = """
WITH aged AS (
    UPDATE deliveries SET free_at = free_at - interval '1 hour'
), untouched AS (
    UPDATE unfinished SET touched_at = touched_at - interval '1 hour'
), actions AS (
    UPDATE dead_letter_actions SET at = at - interval '1 hour'
)
UPDATE dead_letters SET parked_at = parked_at - interval '1 hour'
"""

CREATED, SHIPPED = EventType.ORDER_CREATED, EventType.ORDER_SHIPPED
EMAIL = ChannelName.EMAIL


@dataclass
class Market:
    """The two services' databases, an order-service without a broker, and what a notification-service will need."""

    shop: Shop
    theirs: Service
    settings: Settings
    serving: Serve
    customers: int = 0

    async def ordered(self, *, shipped: bool = False) -> str:
        """An order of a customer of its own."""
        token = self.shop.auth.token(Role.CUSTOMER)
        owner, self.customers = self.shop.auth.callers[token].id, self.customers + 1
        email, phone, at = f"jane.{self.customers}@example.com", f"+1555{self.customers:07}", "2026-02-17T10:30:00.000Z"
        self.theirs.auth.profiles[owner] = Profile(owner, email, "Jane", "Doe", phone, Role.CUSTOMER, True, at, at)
        order_id = str((await self.shop.place(token))["id"])
        for status in ("confirmed", "shipped") if shipped else ():
            await self.shop.advance(order_id, status)
        return order_id

    async def an_hour_passes(self) -> None:
        """What is there becomes an hour older, on both sides."""
        await self.shop.rows(_OURS_AGES)
        await self.theirs.rows(_THEIRS_AGES)

    async def is_gone(self, order_id: str, event_type: EventType = CREATED) -> None:
        """The event is not in the outbox any more."""
        await self._outbox("DELETE FROM outbox", order_id, event_type)

    async def is_published(self, order_id: str, event_type: EventType = CREATED) -> None:
        """The outbox says that the event went out, and no broker knows of it."""
        await self._outbox("UPDATE outbox SET published_at = created_at", order_id, event_type)

    async def is_recorded(
        self,
        order_id: str,
        event_type: EventType = CREATED,
        *,
        status: str = "queued",
        under: UUID | None = None,
        recipient: bool = True,
    ) -> None:
        """notification-service has the event with one e-mail, and no more than that."""
        [row] = await self.shop.rows(
            "SELECT body, user_id FROM outbox JOIN orders ON id = subject_id WHERE id = $1 AND routing_key = $2",
            order_id, ROUTING_KEYS[event_type],
        )  # fmt: skip
        known = under or event_id(UUID(order_id), event_type)
        email = Fresh(notification_id(known, EMAIL), EMAIL, "order_created", "x@example.com", "Hello", "<p>", "Hello")
        async with opened(self.settings.database_url) as database:
            event = Event(
                known, event_type, UUID(order_id), row["user_id"], "notified" if recipient else "no_recipient",
                sha256(row["body"]).digest(), original(row["body"], {}, message_id=str(known)),
            )  # fmt: skip
            await store.record(database, event, [email] if recipient else [], lease=30)
        if status != "queued":
            await self.theirs.rows(
                "UPDATE notifications SET status = $2, provider_ref = 'x', sent_at = now() WHERE id = $1",
                email.id, status,
            )  # fmt: skip

    async def is_parked(self, order_id: str, *, state: str = "open", reason: str = "provider_failed") -> str:
        """The placed order's event was put aside; answers the parked message's id."""
        [row] = await self.shop.rows("SELECT body FROM outbox WHERE subject_id = $1", order_id)
        async with opened(self.settings.database_url) as database:
            parked = parking.parked(
                row["body"], {}, routing_key=SUBSCRIPTIONS[0].dead_letter_key, message_id=order_id, retries=3,
                reason=reason,
            )  # fmt: skip
            await dead_letters.keep(database, parked)
        [letter] = await self.theirs.rows(
            "UPDATE dead_letters SET state = $2 WHERE order_id = $1 RETURNING id::text", order_id, state
        )
        return str(letter["id"])

    async def compared(self, *, batch: int = 1000, **asked: Any) -> tuple[list[Finding], Sum]:
        """What a run in this process finds."""
        found: list[Finding] = []
        async with opened(self.shop.database) as ours, opened(self.settings.database_url) as theirs:
            summed = await Comparison(
                ours, theirs, Asked(**{"older_than": 300.0} | asked), found=found.append, progress=_ignored,
                batch=batch,
            ).run()  # fmt: skip
        return found, summed

    async def findings(self, **asked: Any) -> dict[tuple[str, str], str]:
        """What is found, by order and type of event."""
        return {(each.order_id, each.event_type): each.found for each in (await self.compared(**asked))[0]}

    async def command(self, *words: str, status: int, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command to its end, which must have this exit status."""
        given = {"DATABASE_URL_ORDERS": self.shop.database, "DATABASE_URL_NOTIFICATIONS": self.settings.database_url}
        ended = await asyncio.to_thread(run, "reconcile", *words, **given | environment)
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    async def json(self, *words: str, status: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The findings and the sum that the command prints as JSON."""
        ended = await self.command(*words, "--json", status=status)
        *findings, summed = [json.loads(line) for line in ended.stdout.splitlines()]
        return findings, summed

    async def relays(self, broker_url: str) -> str:
        """Serves an order-service whose relay has a broker; answers where."""
        settings = orders.settings_of(
            database_url=self.shop.database, auth_service_url=self.shop.auth.url, rabbitmq_url=broker_url
        )
        return await self.serving(orders_app.build(settings))

    async def consumes(self, orders_url: str, broker_url: str, providers: aiohttp.ClientSession) -> Notifications:
        """Serves a notification-service that consumes, with everything it needs."""
        provider = str(providers._base_url).rstrip("/")
        settings = dataclasses.replace(
            self.settings,
            rabbitmq_url=broker_url,
            order_service_url=orders_url,
            aws_endpoint_url_sesv2=provider,
            twilio_base_url=provider,
        )
        url = await self.serving(build(settings))
        async with await aio_pika.connect(broker_url) as connection:
            channel = await connection.channel()
        auth, http = self.theirs.auth, self.theirs.http
        theirs = Notifications(url, settings.database_url, auth, http, channel, Orders(), providers)
        await theirs.until_consuming()
        return theirs

    async def until_published(self) -> None:
        """Waits until nothing waits in the outbox."""

        async def published() -> bool:
            return not await self.shop.rows("SELECT FROM outbox WHERE published_at IS NULL")

        await until(published)

    async def _outbox(self, change: str, order_id: str, event_type: EventType) -> None:
        await self.shop.rows(f"{change} WHERE subject_id = $1 AND routing_key = $2", order_id, ROUTING_KEYS[event_type])


async def heard(theirs: Notifications) -> Counter[str]:
    """How many messages each address and number got."""
    return Counter(each["to"] for each in await theirs.messages())


def _ignored(_: int, share: float) -> None:
    assert 0 <= share <= 1


@asynccontextmanager
async def opened(url: str) -> AsyncIterator["Watched"]:
    """A service's database as the command opens it."""
    database = Watched(url, size=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


class Watched(Database):
    """A database that remembers the most rows it was asked for, or asked about, at once."""

    most = 0

    async def fetch(self, statement: str, *parameters: Any) -> list[Row]:
        rows = await super().fetch(statement, *parameters)
        self.most = max(self.most, len(rows), *(len(each) for each in parameters if isinstance(each, list)), 0)
        return rows
