"""What the commands of `shopflow dead-letters` do. Each action says `cli:<who ran it>` in the row it leaves."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from shopflow.cli.environment import rabbitmq_url
from shopflow.cli.on_database import actor, fail, on_database
from shopflow.contracts.fields import identifier, instant
from shopflow.contracts.topology import Topology
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.notifications import dead_letters
from shopflow.notifications import discard as discarding
from shopflow.notifications.bodies import DeadLetter, DeadLetterDetail, DeadLetterPreview
from shopflow.notifications.dead_letters import Filter
from shopflow.notifications.parking import LONGEST_REASON
from shopflow.notifications.replay import Replay

T = TypeVar("T")

_CONNECT_WITHIN = 10.0
_SAY_EVERY = 2.0


class Asked(NamedTuple):
    """A filter as it was typed."""

    reason: str | None = None
    event_type: str | None = None
    order_id: str | None = None
    parked_from: str | None = None
    parked_to: str | None = None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a replay: how many matched, how many went back, what would be sent, what did not go back and why."""

    matched: int
    replayed: int
    would_send: list[DeadLetterPreview] | None = None
    refused: dict[str, str] | None = None


def show_list(asked: Asked, *, state: str | None, limit: int, json: bool) -> None:
    """Prints what a filter lets through."""
    chosen = _chosen(asked, state=state)
    if not 1 <= limit <= 10_000:
        fail("--limit must be from 1 to 10000", status=2)
    found, total = _on_desk(lambda database: dead_letters.page(database, chosen, limit=limit, offset=0))
    if json:
        _print_json(found)
        return
    for each in found:
        print(_line(each))
    if len(found) < total:
        sys.stderr.write(f"{total - len(found):,} more: --limit\n")
    if not total:
        sys.stderr.write("no such message\n")


def show_one(dead_letter_id: str, *, json: bool) -> None:
    """Prints one message."""
    wanted = _id(dead_letter_id)
    found = _on_desk(lambda database: dead_letters.detail(database, wanted))
    if found is None:
        fail(f"There is no parked message {dead_letter_id}.")
    if json:
        _print_json(found)
    else:
        print(_whole(found))


def replay(
    ids: Sequence[str], asked: Asked, *, everything: bool, reason: str | None, dry_run: bool, json: bool
) -> None:
    """Puts messages back, or tells what that would send."""
    filtered = asked != Asked()
    if sum([bool(ids), filtered, everything]) != 1:
        fail("name ids, or a filter, or --all", status=2)
    wanted, chosen = [_id(each) for each in ids], _chosen(asked)
    _check_reason(reason)
    if dry_run:
        told = _on_desk(lambda database: _preview(database, wanted, chosen))
        _say(told, json=json)
        return
    url = rabbitmq_url(os.environ)

    async def run(database: Database) -> Result:
        async with _publisher(url) as publisher:
            desk = Replay(database, publisher, metrics=Metrics())
            if wanted:
                return await _replay_ids(desk, wanted, reason)
            return await _replay_matching(desk, chosen, reason)

    result = _on_desk(run)
    _say(result, json=json)
    raise SystemExit(0 if result.replayed == result.matched else 1)


def discard(ids: Sequence[str], *, reason: str, json: bool) -> None:
    """Discards messages."""
    wanted = [_id(each) for each in ids]
    if not reason.strip():
        fail("--reason must not be blank", status=2)
    _check_reason(reason)

    async def run(database: Database) -> dict[str, str]:
        return await _each(wanted, lambda one: discarding.discard(database, one, by=actor(), reason=reason))

    refused = _on_desk(run)
    if json:
        _print_json({"discarded": len(wanted) - len(refused), "refused": refused})
    else:
        print(f"{len(wanted) - len(refused)} of {len(wanted)} discarded")
        _complain(refused)
    raise SystemExit(1 if refused else 0)


def _on_desk(work: Callable[[Database], Awaitable[T]]) -> T:
    """As `on_database`, on notification-service's."""

    async def run(database: Database) -> T:
        if not await dead_letters.are_here(database):
            fail("This is not the database of notification-service, or it is not migrated: "
                 "shopflow migrate notifications")  # fmt: skip
        return await work(database)

    return on_database(run)


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[Publisher]:
    """A way to queues that are there already: what is missing is for the services to declare."""
    publisher = Publisher(url, name="cli", topology=Topology(exchanges=[], queues=[]), metrics=Metrics())
    await publisher.open()
    try:
        try:
            async with asyncio.timeout(_CONNECT_WITHIN):
                await publisher.wait_up()
        except TimeoutError:
            fail("The broker does not answer: see RABBITMQ_URL.")
        yield publisher
    finally:
        await publisher.close()


async def _replay_ids(desk: Replay, wanted: Sequence[UUID], reason: str | None) -> Result:
    refused = await _each(wanted, lambda one: desk.replay(one, by=actor(), reason=reason))
    return Result(len(wanted), len(wanted) - len(refused), refused=refused or None)


async def _replay_matching(desk: Replay, chosen: Filter, reason: str | None) -> Result:
    """Until none is left of those that are open now: what fails again meanwhile is not taken a second time."""
    now = datetime.now(UTC)
    before = now if chosen.parked_before is None else min(now, chosen.parked_before)
    chosen = msgspec.structs.replace(chosen, parked_before=before)
    whole, replayed, said = None, 0, monotonic()
    while True:
        matched, back = await desk.replay_matching(chosen, by=actor(), reason=reason)
        whole = matched if whole is None else whole
        replayed += back
        if not back or back == matched:
            return Result(whole, replayed)
        if monotonic() - said >= _SAY_EVERY:
            said = monotonic()
            sys.stderr.write(f"{replayed:,} of {whole:,}\n")


async def _preview(database: Database, wanted: Sequence[UUID], chosen: Filter) -> Result:
    if wanted:
        found = await dead_letters.preview(database, wanted)
        return Result(len(found), 0, found)
    matched, would_send = await dead_letters.dry_run(database, chosen)
    return Result(matched, 0, would_send)


async def _each(wanted: Sequence[UUID], act: Callable[[UUID], Awaitable[None]]) -> dict[str, str]:
    """Does something to each; answers to which it could not be done, and why."""
    refused = {}
    for one in wanted:
        try:
            await act(one)
        except Problem as problem:
            refused[str(one)] = problem.detail
    return refused


def _say(result: Result, *, json: bool) -> None:
    if json:
        _print_json(result)
        return
    if result.would_send is None:
        print(f"{result.replayed:,} of {result.matched:,} went back to their queues")
        _complain(result.refused or {})
        return
    print(f"{result.matched:,} would go back to their queues")
    for each in result.would_send:
        what = "whatever the event leads to" if each.channels is None else ", ".join(each.channels) or "nothing"
        print(f"{each.id}  order {each.order_id or '-'}  sends {what}")
    if len(result.would_send) < result.matched:
        print(f"and {result.matched - len(result.would_send):,} more")


def _complain(refused: dict[str, str]) -> None:
    for one, why in refused.items():
        sys.stderr.write(f"{one}: {why}\n")


def _line(letter: DeadLetter) -> str:
    return (
        f"{letter.id}  {letter.parked_at}  {letter.state:<9}  {letter.event_type or '-':<12}  "
        f"order {letter.order_id or '-':<36}  {letter.reason}"
    )


def _whole(letter: DeadLetterDetail) -> str:
    facts = msgspec.to_builtins(letter)
    body, actions = facts.pop("body"), facts.pop("actions")
    lines = [f"{name + ':':<13}{_plain(value)}" for name, value in facts.items()]
    done = [
        f"{each['at']}  {each['action']} by {each['actor']}{': ' + each['reason'] if each['reason'] else ''}"
        f"{'' if each['action'] == 'discard' or each['confirmed_at'] else ' (the broker did not confirm it)'}"
        for each in actions
    ]
    return "\n".join([*lines, *done, "", _printable(body)])


def _plain(value: Any) -> str:
    return "-" if value is None else msgspec.json.encode(value).decode() if isinstance(value, dict) else str(value)


def _printable(text: str) -> str:
    """What a stranger wrote must not move the cursor of a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())


def _check_reason(reason: str | None) -> None:
    if reason is not None and not 1 <= len(reason) <= LONGEST_REASON:
        fail(f"--reason must have from 1 to {LONGEST_REASON} characters", status=2)


def _id(text: str) -> UUID:
    found = identifier(text)
    if found is None:
        fail(f"{text} is not an id", status=2)
    return found


def _chosen(asked: Asked, *, state: str | None = None) -> Filter:
    return Filter(
        state=state,
        reason=asked.reason,
        event_type=asked.event_type,
        order_id=None if asked.order_id is None else _id(asked.order_id),
        parked_from=_instant("--parked-from", asked.parked_from),
        parked_before=_instant("--parked-to", asked.parked_to),
    )


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return instant(text).astimezone(UTC)
    except (ValueError, OverflowError):
        fail(f"{name} must be an RFC 3339 timestamp with an offset", status=2)
