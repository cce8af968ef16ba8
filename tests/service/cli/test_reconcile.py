"""`shopflow reconcile`: every loss between an order and its customer is found, told apart and repaired, and whatever is
repaired is heard exactly once (R56, R78).
"""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from tests.conftest import MakeDatabase, Serve
from tests.service.cli.market import CREATED, SHIPPED, Market, heard, opened
from tests.service.notifications.neighbours import SERVICE_TOKEN, Auth
from tests.service.notifications.shop import Service, until
from tests.service.orders import shop as orders

from shopflow.cli import reconciliation
from shopflow.cli.comparison import Asked, Comparison, NoSuchOrder, NotReadable
from shopflow.cli.environment import Databases, databases
from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.topology import SUBSCRIPTIONS
from shopflow.kit.settings import read
from shopflow.local import sandbox
from shopflow.notifications.settings import Settings

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
ANY = Asked(older_than=300, repair_by="cli:jane")


def unwanted(*_: object) -> None:
    """Nothing is to be told."""
    pytest.fail("something was found or done")


@pytest.fixture
async def market(
    database_of: MakeDatabase, serving: Serve, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> Market:
    """Both databases, and an order-service whose relay has no broker."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sandbox")
    ours, theirs = orders.Auth(), Auth()
    ours.url = await serving(ours.application())
    ours.callers[SERVICE_TOKEN] = Caller("notification-service", None, Role.SERVICE)
    shop = await orders.opened(
        orders.settings_of(database_url=await database_of("orders"), auth_service_url=ours.url), ours, serving, http
    )
    settings = read(
        Settings,
        {
            "DATABASE_URL": await database_of("notifications"),
            "RABBITMQ_URL": orders.NO_BROKER,
            "AUTH_SERVICE_URL": await serving(theirs.application()),
            "AUTH_SERVICE_TOKEN": SERVICE_TOKEN,
            "ORDER_SERVICE_URL": shop.url,
            "ORDER_SERVICE_TOKEN": SERVICE_TOKEN,
            "AWS_SES_REGION": "us-east-1",
            "AWS_SES_FROM_EMAIL": "shop@example.com",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "secret",
            "TWILIO_FROM_NUMBER": "+15550001234",
            "NOTIFICATION_RETRY_DELAYS": "0.1,0.2,0.4",
            "SHOPFLOW_ENV": "test",
        },
    )
    return Market(shop, Service("", settings.database_url, theirs, http), settings, serving)


@pytest.fixture
async def providers() -> AsyncIterator[aiohttp.ClientSession]:
    """The sandbox that answers as SES and Twilio do."""
    async with sandbox.opened() as url, aiohttp.ClientSession(url) as session:
        yield session


async def test_each_kind_of_loss_is_found_and_told_apart(market: Market) -> None:
    gone, unheard, waiting, unfinished = [await market.ordered() for _ in range(4)]
    await market.is_gone(gone)
    await market.is_published(unheard)
    await market.is_published(unfinished)
    await market.is_recorded(unfinished)
    shipped = await market.ordered(shipped=True)
    await market.is_recorded(shipped, status="sent")
    await market.is_published(shipped, SHIPPED)
    parked = await market.ordered()
    letter = await market.is_parked(parked, reason="crash_loop")
    await market.an_hour_passes()
    found, summed = await market.compared()
    assert {(each.order_id, each.event_type): each.found for each in found} == {
        (gone, CREATED): "event-missing",
        (unheard, CREATED): "event-unheard",
        (waiting, CREATED): "event-waiting",
        (unfinished, CREATED): "notification-unfinished",
        (shipped, SHIPPED): "event-unheard",
        (parked, CREATED): "parked",
    }
    assert [(each.reason, each.dead_letter_id) for each in found if each.reason] == [("crash_loop", letter)]
    assert (summed.orders, summed.events, summed.left) == (6, 7, 6)


async def test_nothing_is_found_where_everybody_was_told_or_there_is_a_reason_why_not(market: Market) -> None:
    for how in ({"status": "sent"}, {"status": "failed"}, {"recipient": False}, {"status": "sent", "under": uuid4()}):
        order_id = await market.ordered()
        await market.is_recorded(order_id, **how)
        await market.is_gone(order_id)
    discarded = await market.ordered()
    await market.is_parked(discarded, state="discarded")
    await market.is_gone(discarded)
    await market.an_hour_passes()
    assert await market.findings() == {}
    assert (await market.command(status=0)).stdout == "5 orders, 5 events: nothing missing\n"


async def test_what_is_under_way_is_not_found_until_it_has_taken_too_long(market: Market) -> None:
    placed = await market.ordered()
    assert await market.findings() == {}
    await market.an_hour_passes()
    assert await market.findings() == {(placed, CREATED): "event-waiting"}
    await market.shop.rows("UPDATE outbox SET published_at = now()")
    assert await market.findings() == {}
    await market.is_recorded(placed)
    await market.is_published(placed)
    assert await market.findings() == {}, "somebody has just recorded it"
    await market.an_hour_passes()
    assert await market.findings() == {(placed, CREATED): "notification-unfinished"}
    await market.theirs.rows("UPDATE deliveries SET free_at = now() + interval '30 seconds'")
    assert await market.findings() == {}, "somebody works on it"
    await market.an_hour_passes()
    assert await market.findings() == {(placed, CREATED): "notification-unfinished"}
    await market.theirs.rows("""
        INSERT INTO unfinished (event_id, message_id, headers, body) SELECT event_id, 'x', '{}', 'x' FROM inbox
        ON CONFLICT (event_id) DO UPDATE SET touched_at = now()
    """)
    assert await market.findings() == {}, "it comes by while its channel rests"


async def test_a_replay_is_waited_for_and_then_found_lost(market: Market) -> None:
    placed = await market.ordered()
    await market.an_hour_passes()
    await market.is_published(placed)
    await market.is_parked(placed, state="replayed")
    assert await market.findings() == {}
    await market.an_hour_passes()
    assert await market.findings() == {(placed, CREATED): "event-unheard"}


async def test_it_may_be_asked_about_one_order_and_from_an_instant_on(market: Market) -> None:
    one, other = await market.ordered(), await market.ordered()
    for each in (one, other):
        await market.is_gone(each)
    await market.an_hour_passes()
    await market.shop.rows("UPDATE orders SET created_at = created_at - interval '1 day' WHERE id = $1", other)
    assert await market.findings(order_id=UUID(other)) == {(other, CREATED): "event-missing"}
    [since] = await market.shop.rows("SELECT now() - interval '2 hours' AS at")
    assert await market.findings(since=since["at"]) == {(one, CREATED): "event-missing"}


async def test_an_event_is_written_anew_as_the_very_event_that_it_was(market: Market) -> None:
    await market.ordered(shipped=True)
    await market.shop.place(
        currency="JPY", notes=..., shipping_address={"street": "1-1 \u5343\u4ee3\u7530", "city": "\u6771\u4eac",
                                                     "zip_code": "100-0001", "country": "JP"},
        items=[{"product_id": str(uuid4()), "product_name": "Tea", "quantity": 3, "unit_price": 1200}],
    )  # fmt: skip
    events = "SELECT event_id, subject_id, routing_key, body FROM outbox ORDER BY event_id"
    before = await market.shop.rows(events)
    assert len(before) == 3
    await market.shop.rows("DELETE FROM outbox")
    _, summed = await market.compared(older_than=0.0, repair_by="cli:jane")
    assert summed.repaired == 3
    assert await market.shop.rows(events) == before


async def test_what_was_lost_is_repaired_and_heard_exactly_once(
    market: Market, providers: aiohttp.ClientSession, broker_url: str
) -> None:
    lost = [await market.ordered(shipped=True) for _ in range(4)]
    for event_type in (CREATED, SHIPPED):
        await market.is_gone(lost[0], event_type)
        for each in lost[1:]:
            await market.is_published(each, event_type)
    await market.is_recorded(lost[2])
    await market.is_recorded(lost[3], status="sent")
    await market.an_hour_passes()
    findings, summed = await market.json("--repair", status=0)
    assert summed["found"] == {"event-missing": 2, "event-unheard": 4, "notification-unfinished": 1}
    assert (summed["repaired"], summed["left"]) == (7, 0)
    assert all(each["repaired"] for each in findings)
    again, twice = await market.compared(repair_by="cli:jane")
    assert (again, twice.repaired) == ([], 0), "what was announced a moment ago is under way"
    noted = await market.shop.rows("SELECT order_id::text, event_id::text, event_type, cause, actor FROM repairs")
    assert sorted(tuple(row.values()) for row in noted) == sorted(
        (each["order_id"], each["event_id"], each["event_type"], each["found"], f"cli:{getpass.getuser()}")
        for each in findings
    )
    theirs = await market.consumes(await market.relays(broker_url), broker_url, providers)
    await theirs.until_verdicts(SUBSCRIPTIONS[0].queue, done=3)
    await theirs.until_verdicts(SUBSCRIPTIONS[1].queue, done=4)
    got = await heard(theirs)
    assert got.pop("x@example.com") == 1, "what was on record goes where the record says"
    for number, times in enumerate((2, 2, 1, 1), start=1):
        assert (got.pop(f"jane.{number}@example.com"), got.pop(f"+1555{number:07}")) == (times, times)
    assert not got
    await market.until_published()
    await market.an_hour_passes()
    assert await market.findings() == {}


async def test_an_event_that_the_broker_still_holds_is_handled_once_although_it_is_written_anew(
    market: Market, providers: aiohttp.ClientSession, broker_url: str
) -> None:
    """A consumer that was away for longer than the outbox keeps what it published."""
    await market.ordered()
    orders_url = await market.relays(broker_url)
    await market.until_published()
    await market.shop.rows("DELETE FROM outbox")
    await market.an_hour_passes()
    assert (await market.compared(repair_by="cli:jane"))[1].repaired == 1
    theirs = await market.consumes(orders_url, broker_url, providers)

    async def handled() -> bool:
        queued = await theirs.rows("SELECT FROM notifications WHERE status = 'queued'")
        return sum((await theirs.verdicts()).values()) == 2 and not queued

    await until(handled)
    assert await heard(theirs) == {"jane.1@example.com": 1, "+15550000001": 1}


async def test_what_waits_or_is_parked_is_told_and_left_to_those_who_have_it(market: Market) -> None:
    waiting, parked = await market.ordered(), await market.ordered()
    await market.is_parked(parked)
    await market.an_hour_passes()
    before = await market.shop.rows("SELECT * FROM outbox ORDER BY position")
    ended = await market.command("--repair", status=1)
    assert f"{waiting}  OrderCreated  " in ended.stdout
    assert "provider_failed (dead letter " in ended.stdout
    assert ended.stdout.endswith("2 orders, 2 events: 1 event-waiting, 1 parked\n")
    assert await market.shop.rows("SELECT * FROM outbox ORDER BY position") == before
    assert await market.shop.rows("SELECT FROM repairs") == []


async def test_an_event_that_waits_under_an_id_of_an_older_version_is_not_written_a_second_time(market: Market) -> None:
    placed = await market.ordered()
    [row] = await market.shop.rows("UPDATE outbox SET event_id = gen_random_uuid() RETURNING event_id::text")
    await market.an_hour_passes()
    [finding], summed = await market.compared(repair_by="cli:jane")
    assert (finding.order_id, finding.found, finding.event_id) == (placed, "event-waiting", row["event_id"])
    assert summed.repaired == 0


async def test_two_repairs_at_once_announce_once(market: Market) -> None:
    placed = await market.ordered()
    await market.is_published(placed)
    await market.an_hour_passes()
    runs = await asyncio.gather(*(market.compared(repair_by="cli:jane") for _ in range(4)))
    assert sum(summed.repaired for _, summed in runs) == 1
    assert len(await market.shop.rows("SELECT FROM repairs")) == 1


MANY = """
WITH many AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount, status, confirmed_at, shipped_at,
                        created_at, updated_at)
    SELECT gen_random_uuid(), gen_random_uuid(), '[]', '{"street": "a", "city": "b", "state": null, "zip_code": "c",
           "country": "DE"}', 1, 'shipped', at, at, at, at
    FROM (SELECT now() - interval '1 hour' AS at FROM generate_series(1, 2000)) AS hour
    RETURNING id
)
SELECT id FROM many
"""


async def test_thousands_of_orders_are_walked_a_few_at_a_time_and_none_twice(market: Market) -> None:
    ids = [row["id"] for row in await market.shop.rows(MANY)]
    found: list[tuple[str, str]] = []
    shares: list[float] = []
    async with opened(market.shop.database) as ours, opened(market.settings.database_url) as theirs:
        summed = await Comparison(
            ours, theirs, ANY, batch=100,
            found=lambda each: found.append((each.order_id, each.event_type)),
            progress=lambda _, share: shares.append(share),
        ).run()  # fmt: skip
    assert sorted(found) == sorted((str(each), type_) for each in ids for type_ in (CREATED, SHIPPED))
    assert (summed.orders, summed.events, summed.repaired, summed.left) == (2000, 4000, 4000, 0)
    assert max(ours.most, theirs.most) == 200, "two events an order, a hundred orders"
    assert len(shares) == 20
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("wrong", "environment", "said"),
    [
        ({"order": "7"}, {}, "7 is not an id"),
        ({"since": "yesterday"}, {}, "--since must be an RFC 3339 timestamp with an offset"),
        ({"older_than": -1.0}, {}, "--older-than must be from 0 to 31,536,000 seconds"),
        ({}, {"DATABASE_URL_ORDERS": NOWHERE}, "DATABASE_URL_NOTIFICATIONS is missing"),
        ({}, {}, "Set DATABASE_URL_ORDERS and DATABASE_URL_NOTIFICATIONS, or SHOPFLOW_HOME"),
    ],
)
def test_what_is_given_wrongly_is_said(
    *,
    wrong: dict[str, Any],
    environment: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in ({"SHOPFLOW_HOME": str(tmp_path)} | environment).items():
        monkeypatch.setenv(name, value)
    given: dict[str, Any] = {"repair": True, "order": None, "since": None, "older_than": 300.0, "json": False}
    with pytest.raises(SystemExit) as ended:
        reconciliation.reconcile(**given | wrong)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_variables_the_databases_are_those_of_the_platform_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"postgres": {"auth": "a", "orders": "o", "notifications": "n"}}))
    assert databases({"SHOPFLOW_HOME": str(tmp_path)}) == Databases(orders="o", notifications="n")


async def test_the_database_that_cannot_be_read_is_named(market: Market) -> None:
    ended = await market.command("--repair", status=3, DATABASE_URL_NOTIFICATIONS=NOWHERE)
    assert ended.stderr.startswith("notification-service: The database does not answer")
    ours, theirs = market.shop.database, market.settings.database_url
    async with opened(ours) as orders_, opened(theirs) as notifications, opened(NOWHERE) as nowhere:
        for one, other, said in (
            (nowhere, notifications, "order-service: The database does not answer"),
            (notifications, orders_, "This is not the database of order-service"),
            (orders_, orders_, "This is not the database of notification-service"),
        ):
            with pytest.raises(NotReadable, match=said):
                await Comparison(one, other, ANY, found=unwanted, progress=unwanted).run()
        asked = Asked(order_id=uuid4(), older_than=300)
        with pytest.raises(NoSuchOrder):
            await Comparison(orders_, notifications, asked, found=unwanted, progress=unwanted).run()
