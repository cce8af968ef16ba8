"""POST /orders with an Idempotency-Key: however often it comes and whatever goes wrong, there is one order (B1-B4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from tests.service.orders.shop import Auth, Serve, Shop, opened, placement, settings_of

from shopflow.contracts.identity import Role
from shopflow.kit.postgres import Database
from shopflow.kit.trims import Trims
from shopflow.orders.placements import TRIM_KEYS
from shopflow.orders.settings import Settings

STORED = """
SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_history), (SELECT count(*) FROM outbox),
       (SELECT count(*) FROM idempotency_keys)
"""
REPLAYED = "Idempotency-Replayed"


class Answer(NamedTuple):
    """What a POST answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(json.loads(self.body)["type"]).removeprefix("urn:shopflow:problem:")


async def post(shop: Shop, key: str | None, body: bytes | None = None, *, token: str | None = None) -> Answer:
    """One POST, with this key or none."""
    headers = {"Authorization": f"Bearer {token or shop.customer}", "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    sent = json.dumps(placement()).encode() if body is None else body
    async with shop.http.post(f"{shop.url}/orders", data=sent, headers=headers) as response:
        return Answer(response.status, await response.read(), response.headers)


async def stored(shop: Shop) -> tuple[int, int, int, int]:
    """How many orders, entries of history, events and keys there are."""
    [(orders, entries, events, keys)] = await shop.rows(STORED)
    return orders, entries, events, keys


@pytest.mark.row("O-1")
async def test_a_repeated_request_gets_the_first_answer_byte_for_byte(shop: Shop) -> None:
    first = await post(shop, "key-1")
    assert (first.status, first.headers["ETag"], REPLAYED in first.headers) == (201, '"pending"', False)
    await shop.advance(json.loads(first.body)["id"], "confirmed")
    for _ in range(2):
        again = await post(shop, "key-1")
        assert (again.status, again.body) == (201, first.body), "the answer of then, though the order has moved on"
        assert (again.headers["ETag"], again.headers[REPLAYED]) == ('"pending"', "true")
        assert again.headers["Content-Type"] == first.headers["Content-Type"] == "application/json"
    assert await stored(shop) == (1, 2, 1, 1)


@pytest.mark.row("O-1")
async def test_fifty_at_once_make_one_order_and_one_event(shop: Shop) -> None:
    answers = await asyncio.gather(*(post(shop, "key-1") for _ in range(50)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sorted(REPLAYED in answer.headers for answer in answers) == [False] + [True] * 49
    assert await stored(shop) == (1, 1, 1, 1)


async def test_without_a_key_and_with_others_every_request_is_an_order(shop: Shop) -> None:
    for key in (None, None, "a", "b", "A", "a b"):
        assert (await post(shop, key)).status == 201
    assert (await stored(shop))[0] == 6


@pytest.mark.row("O-1")
async def test_the_same_text_of_another_user_is_another_key(shop: Shop) -> None:
    answers = [await post(shop, "key-1", token=token) for token in (shop.customer, shop.stranger, shop.admin)]
    assert [answer.status for answer in answers] == [201] * 3
    assert len({json.loads(answer.body)["user_id"] for answer in answers}) == 3
    assert await stored(shop) == (3, 3, 3, 3)


@pytest.mark.row("O-1")
async def test_another_body_under_a_kept_key_is_a_422_and_the_first_answer_stays(shop: Shop) -> None:
    first = await post(shop, "key-1")
    other = await post(shop, "key-1", json.dumps(placement(notes="other")).encode())
    assert (other.status, other.code) == (422, "idempotency-key-reused")
    spelled = json.dumps(placement(), indent=2, sort_keys=True).replace("49.99", "4.999e1").encode()
    assert (await post(shop, "key-1", spelled)).body == first.body
    assert (await post(shop, "key-1")).body == first.body
    assert (await stored(shop))[0] == 1


@pytest.mark.row("O-1")
@pytest.mark.parametrize("key", ["", " ", "a" * 256, "\u00e9", "a\tb"])
async def test_a_text_that_is_no_key_is_a_400(shop: Shop, key: str) -> None:
    answer = await post(shop, key)
    assert (answer.status, answer.code) == (400, "invalid-request")
    assert [each["field"] for each in json.loads(answer.body)["errors"]] == ["Idempotency-Key"]
    assert await stored(shop) == (0, 0, 0, 0)


async def test_two_keys_at_once_are_a_400(shop: Shop) -> None:
    headers = [
        ("Authorization", f"Bearer {shop.customer}"),
        ("Idempotency-Key", "a"),
        ("Idempotency-Key", "a"),
    ]
    async with shop.http.post(f"{shop.url}/orders", json=placement(), headers=headers) as response:
        assert response.status == 400


@pytest.mark.row("O-1")
async def test_the_longest_key_is_one(shop: Shop) -> None:
    assert [(await post(shop, "k" * 255)).status for _ in range(2)] == [201, 201]
    assert (await stored(shop))[0] == 1


@pytest.mark.row("O-1")
async def test_after_a_day_a_key_is_new_again(shop: Shop) -> None:
    first = await post(shop, "key-1")
    [kept] = await shop.rows("SELECT expires_at - now() AS left FROM idempotency_keys")
    assert 86_300 < kept["left"].total_seconds() <= 86_400
    await shop.rows("UPDATE idempotency_keys SET expires_at = now()")
    second = await post(shop, "key-1", json.dumps(placement(notes="other")).encode())
    assert (second.status, REPLAYED in second.headers) == (201, False)
    assert second.body != first.body
    assert (await post(shop, "key-1", json.dumps(placement(notes="other")).encode())).body == second.body
    assert await stored(shop) == (2, 2, 2, 1)


async def test_fifty_at_once_under_a_key_whose_day_is_over_make_one_order(shop: Shop) -> None:
    await post(shop, "key-1")
    await shop.rows("UPDATE idempotency_keys SET expires_at = now()")
    answers = await asyncio.gather(*(post(shop, "key-1") for _ in range(50)))
    assert len({answer.body for answer in answers}) == 1
    assert await stored(shop) == (2, 2, 2, 1)


@pytest.mark.row("O-2")
async def test_only_a_201_is_kept(shop: Shop) -> None:
    refused = await post(shop, "key-1", json.dumps(placement(currency="usd")).encode())
    assert refused.status == 400
    assert (await post(shop, "key-1", b"{")).status == 400
    assert (await post(shop, "key-1", token=shop.service)).status == 403
    assert (await post(shop, "key-1", token="junk")).status == 401
    assert await stored(shop) == (0, 0, 0, 0)
    corrected = await post(shop, "key-1")
    assert (corrected.status, REPLAYED in corrected.headers) == (201, False)


async def test_after_a_failure_the_key_is_as_free_as_before(shop: Shop) -> None:
    await shop.rows("ALTER TABLE outbox RENAME TO hidden")
    assert (await post(shop, "key-1")).status == 500
    await shop.rows("ALTER TABLE hidden RENAME TO outbox")
    assert await stored(shop) == (0, 0, 0, 0), "the key went with the order"
    assert (await post(shop, "key-1")).status == 201


@asynccontextmanager
async def first_request(shop: Shop, key: str, answer: bytes) -> AsyncIterator[Any]:
    """A first request whose transaction has taken the key, and stands still."""
    connection = await asyncpg.connect(shop.database)
    user = shop.auth.callers[shop.customer].user_id
    fingerprint = (await shop.rows("SELECT fingerprint FROM idempotency_keys WHERE key = 'sample'"))[0]["fingerprint"]
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO idempotency_keys VALUES ($1, 'POST /orders', $2, $3, $4, now() + interval '1 day')",
        user, key, fingerprint, answer,
    )  # fmt: skip
    try:
        yield transaction
    finally:
        await connection.close()


async def until_waiting(shop: Shop) -> None:
    """Waits until somebody waits for a lock in the shop's database."""
    statement = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(20):
        while not await shop.rows(statement):
            await asyncio.sleep(0.02)


async def test_who_comes_while_the_first_is_on_its_way_waits_and_gets_its_answer(shop: Shop) -> None:
    await post(shop, "sample")
    async with first_request(shop, "key-1", b'{"the": "first"}') as transaction:
        waiting = asyncio.create_task(post(shop, "key-1"))
        await until_waiting(shop)
        await transaction.commit()
        answer = await waiting
    assert (answer.status, answer.body, answer.headers[REPLAYED]) == (201, b'{"the": "first"}', "true")
    assert (await stored(shop))[0] == 1


async def test_when_the_first_fails_the_next_one_takes_its_place(shop: Shop) -> None:
    await post(shop, "sample")
    async with first_request(shop, "key-1", b"{}") as transaction:
        waiting = asyncio.create_task(post(shop, "key-1"))
        await until_waiting(shop)
        await transaction.rollback()
        answer = await waiting
    assert (answer.status, REPLAYED in answer.headers) == (201, False)
    assert (await stored(shop))[0] == 2


async def test_who_waits_for_two_seconds_is_told_to_come_again(shop: Shop) -> None:
    await post(shop, "sample")
    async with first_request(shop, "key-1", b"{}"):
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await post(shop, "key-1")
        assert 1.9 <= loop.time() - began < 10
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (409, "idempotency-key-in-flight", "1")
    assert (await stored(shop))[0] == 1


async def test_replays_are_counted_apart(shop: Shop) -> None:
    for _ in range(3):
        await post(shop, "key-1")
    async with shop.http.get(f"{shop.url}/metrics") as response:
        text = await response.text()
    assert "shopflow_orders_placed_total 1.0" in text
    assert "shopflow_orders_replayed_total 2.0" in text


async def test_two_instances_share_the_keys(
    shop: Shop, settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> None:
    other = await opened(settings, auth, serving, http)
    other.customer = shop.customer
    answers = await asyncio.gather(*(post(each, "key-1") for each in (shop, other) * 10))
    assert len({answer.body for answer in answers}) == 1
    assert (await stored(shop))[0] == 1


async def test_keys_whose_day_is_over_are_removed_and_no_others(shop: Shop) -> None:
    for key in ("old", "new"):
        await post(shop, key)
    await shop.rows("UPDATE idempotency_keys SET expires_at = now() WHERE key = 'old'")
    database = Database(shop.database, size=1)
    await database.open()
    trims = Trims(database, {"idempotency_keys": TRIM_KEYS})
    await trims.open()
    async with asyncio.timeout(20):
        while len(rows := await shop.rows("SELECT key FROM idempotency_keys")) != 1:
            await asyncio.sleep(0.02)
    await trims.close()
    await database.close()
    assert [row["key"] for row in rows] == ["new"]


async def test_the_rate_limit_is_told_before_the_key_is_looked_at(
    settings: Settings, auth: Auth, serving: Serve, http: aiohttp.ClientSession
) -> None:
    limited = settings_of(database_url=settings.database_url, auth_service_url=auth.url, rate_limit_orders="1/day")
    shop = await opened(limited, auth, serving, http)
    assert [(await post(shop, "key-1")).status for _ in range(2)] == [201, 429]
    assert (await post(shop, str(uuid4()), token=auth.token(Role.CUSTOMER))).status == 201
