"""Who may deliver a notification, and whose result counts, on a real PostgreSQL: one claim at a time, the last one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import msgspec
import pytest

from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Connection, Database
from shopflow.local.ports import free_port
from shopflow.notifications import store
from shopflow.notifications.channels import twilio
from shopflow.notifications.deliver import Deliver
from shopflow.notifications.notification import ChannelName, DeliveryStatus, Progress
from shopflow.notifications.original import Original
from shopflow.notifications.store import Claim, Ending, Event, Fresh, Recorded

ORIGINAL = Original("m", b"{}", b"{}")
SENT = Ending("accepted", None, "ref", None, DeliveryStatus.SENT, error=None, exhausted=False, rest=0)
FAILED = Ending("failed", "500", None, "away", DeliveryStatus.QUEUED, error=None, exhausted=False, rest=0)
OVER = Ending("failed", "500", None, "away", DeliveryStatus.FAILED, error="500: away", exhausted=True, rest=0)


@pytest.fixture
async def database(database_of: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    database = Database(await database_of("notifications"))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def event_id() -> UUID:
    return uuid4()


@pytest.fixture
async def queued(database: Database, event_id: UUID) -> Recorded:
    """A notification that nobody has tried to deliver."""
    await record(database, event_id)
    return await read(database, event_id)


async def record(database: Database, event_id: UUID, *, text: str = "Hello") -> None:
    fresh = Fresh(uuid4(), ChannelName.SMS, "order_created", "+15551234567", None, text, None)
    event = Event(event_id, "OrderCreated", uuid4(), uuid4(), "notified", b"d", ORIGINAL)
    await store.record(database, event, [fresh], lease=30)


async def read(database: Database, event_id: UUID) -> Recorded:
    found = await store.received(database, event_id)
    assert found is not None
    [notification] = found.notifications
    return notification


async def claim(
    connection: Connection, notification: Recorded, *, lease: float = 30, last: bool = False
) -> Claim | None:
    return await store.claim(connection, notification, attempt_id=uuid4(), lease=lease, last=last)


async def claimed(connection: Connection, notification: Recorded, *, lease: float = 30, last: bool = False) -> Claim:
    found = await claim(connection, notification, lease=lease, last=last)
    assert found is not None
    return found


async def finish(connection: Connection, notification: Recorded, won: Claim, ending: Ending) -> bool:
    return await store.finish(connection, notification.id, attempt_id=won.attempt_id, ending=ending)


async def test_an_event_recorded_by_many_at_once_is_recorded_once(database: Database, event_id: UUID) -> None:
    await asyncio.gather(*(record(database, event_id, text=str(number)) for number in range(20)))
    assert await database.fetchval("SELECT count(*) FROM notifications") == 1
    assert (await read(database, event_id)).status is DeliveryStatus.QUEUED


async def test_what_is_recorded_with_an_attempt_is_claimed_by_it_once(database: Database, event_id: UUID) -> None:
    fresh = Fresh(uuid4(), ChannelName.SMS, "order_created", "+15551234567", None, "Hello", None)
    event = Event(event_id, "OrderCreated", uuid4(), uuid4(), "notified", b"d", ORIGINAL)
    await database.execute("INSERT INTO suppressions VALUES ('sms', '+15551234567', 'stop')")
    attempted = [msgspec.structs.replace(fresh, attempt_id=uuid4()) for _ in range(10)]
    won = await asyncio.gather(*(store.record(database, event, [each], lease=30) for each in attempted))
    [claims] = [each for each in won if each is not None]
    [attempt] = await database.fetch("SELECT id FROM attempts")
    assert claims == {fresh.id: Claim(attempt["id"], 0, None, spent=False, suppressed="stop")}
    found = await read(database, event_id)
    assert (found.attempt_id, found.in_doubt, 0 < found.due_in <= 30) == (attempt["id"], True, True)
    assert await claim(database, found) is None
    assert await finish(database, found, claims[fresh.id], SENT)


async def test_of_many_who_claim_at_once_one_wins(database: Database, queued: Recorded) -> None:
    claims = await asyncio.gather(*(claim(database, queued) for _ in range(20)))
    assert len([each for each in claims if each is not None]) == 1
    assert await database.fetchval("SELECT count(*) FROM attempts") == 1


async def test_nobody_claims_what_was_tried_since_it_was_read(database: Database, queued: Recorded) -> None:
    first = await claimed(database, queued)
    await finish(database, queued, first, FAILED)
    assert await claim(database, queued) is None


async def test_what_failed_may_be_tried_again_at_once(database: Database, queued: Recorded, event_id: UUID) -> None:
    await finish(database, queued, await claimed(database, queued), FAILED)
    again = await claimed(database, await read(database, event_id))
    assert (again.doubtful_since, again.spent) == (None, False)


@pytest.mark.parametrize("ending", [SENT, OVER])
async def test_nobody_claims_what_is_settled(
    database: Database, queued: Recorded, event_id: UUID, ending: Ending
) -> None:
    await finish(database, queued, await claimed(database, queued), ending)
    settled = await read(database, event_id)
    assert (settled.status, settled.exhausted) == (ending.status, ending.exhausted)
    assert await claim(database, settled) is None


async def test_a_claim_that_ran_out_passes_on_with_its_doubt(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    await claimed(database, queued, lease=0)
    later = await claimed(database, await read(database, event_id))
    assert later.doubtful_since == await database.fetchval("SELECT min(started_at) FROM attempts")


async def test_the_result_of_a_holder_who_was_overtaken_is_kept_but_moves_nothing(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    frozen = await claimed(database, queued, lease=0)
    later = await claimed(database, await read(database, event_id))
    assert await finish(database, queued, later, SENT)
    assert not await finish(database, queued, frozen, OVER)
    assert (await read(database, event_id)).status is DeliveryStatus.SENT
    outcomes = await database.fetch("SELECT outcome FROM attempts ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["failed", "accepted"]


@pytest.mark.parametrize("meanwhile", [None, FAILED, OVER])
async def test_what_a_holder_who_was_overtaken_sent_is_sent_and_goes_out_no_further_time(
    database: Database, queued: Recorded, event_id: UUID, meanwhile: Ending | None
) -> None:
    frozen = await claimed(database, queued, lease=0)
    later = await claimed(database, await read(database, event_id))
    if meanwhile is not None:
        assert await finish(database, queued, later, meanwhile)
    assert await finish(database, queued, frozen, SENT)
    if meanwhile is None:
        assert not await finish(database, queued, later, OVER)
    settled = await read(database, event_id)
    assert (settled.status, settled.exhausted) == (DeliveryStatus.SENT, False)
    assert await claim(database, settled) is None
    statement = "SELECT provider_ref FROM notifications WHERE status = 'sent' AND error_message IS NULL"
    assert await database.fetchval(statement) == "ref"


@pytest.mark.parametrize("frozen_is_first", [True, False])
async def test_two_messages_that_both_went_out_are_on_record_as_doubled(
    database: Database, queued: Recorded, event_id: UUID, *, frozen_is_first: bool
) -> None:
    frozen = await claimed(database, queued, lease=0)
    later = await claimed(database, await read(database, event_id))
    first, second = (frozen, later) if frozen_is_first else (later, frozen)
    assert await finish(database, queued, first, SENT)
    assert not await finish(database, queued, second, msgspec.structs.replace(SENT, provider_ref="another"))
    attempts = await database.fetch("SELECT id, code FROM attempts WHERE outcome = 'accepted'")
    assert {row["id"]: row["code"] for row in attempts} == {first.attempt_id: None, second.attempt_id: "doubled"}
    assert await database.fetchval("SELECT provider_ref FROM notifications") == "ref"


async def test_one_message_that_two_attempts_report_is_not_doubled(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    frozen = await claimed(database, queued, lease=0)
    later = await claimed(database, await read(database, event_id))
    assert await finish(database, queued, later, msgspec.structs.replace(SENT, outcome="adopted"))
    assert not await finish(database, queued, frozen, SENT)
    assert {row["code"] for row in await database.fetch("SELECT code FROM attempts")} == {None}


async def test_a_holder_whose_claim_ran_out_unnoticed_still_ends_it(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    late = await claimed(database, queued, lease=0)
    assert await finish(database, queued, late, SENT)
    assert (await read(database, event_id)).status is DeliveryStatus.SENT


async def test_who_waits_for_a_result_being_written_does_not_claim_what_it_settles(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    late = await claimed(database, queued, lease=0)
    seen = await read(database, event_id)
    async with database.transaction() as writing:
        await finish(writing, queued, late, SENT)
        waiting = asyncio.create_task(claim(database, seen))
        while not await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    assert await waiting is None


async def test_an_attempt_in_doubt_keeps_everybody_off_for_its_rest(
    database: Database, queued: Recorded, event_id: UUID
) -> None:
    doubt = Ending("in_doubt", None, None, "cut", DeliveryStatus.QUEUED, error=None, exhausted=False, rest=30)
    await finish(database, queued, await claimed(database, queued, last=True), doubt)
    resting = await read(database, event_id)
    assert await claim(database, resting) is None
    await database.execute("UPDATE deliveries SET free_at = now()")
    later = await claimed(database, resting)
    assert (later.doubtful_since is not None, later.spent) == (True, True)


async def test_a_list_that_cannot_be_read_is_no_attempt(database: Database, queued: Recorded, event_id: UUID) -> None:
    await claimed(database, queued, lease=0)
    async with twilio.opened(
        account_sid="AC" + "0" * 32, auth_token="secret", from_number="+15550001234",
        base_url=f"http://127.0.0.1:{free_port()}",
    ) as away:  # fmt: skip
        deliver = Deliver(database, {ChannelName.SMS: away}, metrics=Metrics(), delays=())
        standing = await deliver.deliver(await read(database, event_id))
    assert standing.progress is Progress.WAIT
    later = await read(database, event_id)
    assert (later.status, later.tries, later.in_doubt) == (DeliveryStatus.QUEUED, 0, True)
    assert await database.fetchval("SELECT code FROM attempts WHERE outcome = 'failed'") == "ClientConnectorError"
