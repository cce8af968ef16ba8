"""How everything stood at the moment when something did not come about: for a person who was not there.

It reads what it can and says what it could not; it never waits for long, and changes nothing.
"""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
from tests.chaos.evidence import parked, ready
from tests.chaos.people import as_uuids
from tests.chaos.shop import Shop

_WITHIN: Final = 10.0
"""Seconds for each question: who answers none is a part of the answer."""

OUTBOX: Final = "SELECT * FROM outbox WHERE published_at IS NULL OR subject_id = ANY ($1::uuid[]) ORDER BY position"
ORDERS: Final = "SELECT id, status, created_at, updated_at FROM orders WHERE id = ANY ($1::uuid[])"
INBOX: Final = """
SELECT * FROM inbox WHERE order_id = ANY ($1::uuid[])
   OR event_id IN (SELECT event_id FROM deliveries JOIN notifications ON id = notification_id WHERE status = 'queued')
"""
DELIVERIES: Final = """
SELECT deliveries.*, status, error_message, created_at, clock_timestamp() AS now
FROM deliveries JOIN notifications ON id = notification_id
WHERE status = 'queued' OR deliveries.event_id IN (SELECT event_id FROM inbox WHERE order_id = ANY ($1::uuid[]))
"""
ATTEMPTS: Final = """
SELECT attempts.* FROM attempts JOIN notifications ON notifications.id = notification_id
WHERE status = 'queued' ORDER BY started_at
"""
HANDLINGS: Final = "SELECT encode(message, 'hex') AS message, begun, last_begun_at FROM handlings"
BACKENDS: Final = """
SELECT datname, pid, state, wait_event_type, wait_event, xact_start, query_start, state_change,
       pg_blocking_pids(pid)::text AS blocked_by, left(query, 200) AS query
FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid() ORDER BY datname, pid
"""


async def standing(shop: Shop, order_ids: Sequence[str] = ()) -> dict[str, Any]:
    """What is unfinished, and whatever is known about these orders, finished or not.

    Rows of outbox, inbox, deliveries and attempts, depths of queues, what is parked, what each backend of PostgreSQL
    does, and each process's `/ready` and `/metrics`.
    """
    ids = as_uuids(list(order_ids))
    orders, notifications = shop.pools["orders"], shop.pools["notifications"]
    questions: dict[str, Awaitable[Any]] = {
        "orders": orders.fetch(ORDERS, ids),
        "outbox": orders.fetch(OUTBOX, ids),
        "inbox": notifications.fetch(INBOX, ids),
        "deliveries": notifications.fetch(DELIVERIES, ids),
        "attempts": notifications.fetch(ATTEMPTS),
        "handlings": notifications.fetch(HANDLINGS),
        "queues": ready(shop),
        "parked": parked(shop),
        "backends": _backends(shop),
        "our tasks": _ours(),
        **{f"{name} {path}": _page(shop, name, path) for name in shop.processes for path in ("/ready", "/metrics")},
    }
    answers = await asyncio.gather(*(_answer(question) for question in questions.values()))
    return dict(zip(questions, answers, strict=True))


async def kept_standing(shop: Shop, name: str, order_ids: Sequence[str] = ()) -> Path:
    """Writes it beside the services' logs, where a red run keeps it; answers the file."""
    path = shop.folder / f"{name}.json"
    found = await standing(shop, order_ids)
    await asyncio.to_thread(path.write_text, json.dumps(found, indent=1, default=str) + "\n")
    return path


async def _answer(question: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_WITHIN):
            answer = await question
    except Exception as error:  # noqa: BLE001 - whatever does not answer now is what this is for
        return f"no answer: {type(error).__name__} {error}"
    return [dict(row) for row in answer] if isinstance(answer, list) and _are_rows(answer) else answer


def _are_rows(answer: list[Any]) -> bool:
    return all(isinstance(each, asyncpg.Record) for each in answer)


async def _backends(shop: Shop) -> list[Any]:
    superuser = await asyncpg.connect(shop.postgres.superuser_url)
    try:
        return list(await superuser.fetch(BACKENDS))
    finally:
        await superuser.close()


async def _ours() -> list[str]:
    """Where each task of the harness stands: what hangs may be us."""
    frames = [(task.get_name(), task.get_stack(limit=3)) for task in asyncio.all_tasks()]
    return [
        f"{name}: {' < '.join(f'{Path(each.f_code.co_filename).name}:{each.f_lineno}' for each in reversed(stack))}"
        for name, stack in frames
    ]


async def _page(shop: Shop, name: str, path: str) -> list[str]:
    async with shop.http.get(f"{shop.processes[name].url}{path}") as answer:
        lines = (await answer.text()).splitlines()
    return [line for line in lines if not line.startswith("#") and "_bucket{" not in line]
