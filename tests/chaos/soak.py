"""The long runs of `make soak`: chance for twenty minutes and 20,000 orders, a backlog, throttling, an outage at peak.

Each part can be played alone, says how far it is, and has figures to reach, which are in the report with what was seen.
Exit status 0: every invariant held and every figure was reached. 1: not.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from os import sysconf
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Any

from tests.chaos.acts import Scene
from tests.chaos.campaign import Figure, Report, Seen, acknowledged, at_random, judged, kept_logs, under_load, written
from tests.chaos.evidence import CANNOT_TELL, settled
from tests.chaos.faults import SERVER, Fault, provider_fails
from tests.chaos.history import Operation, Outcome
from tests.chaos.people import Person, until
from tests.chaos.shop import ROOT, Shop, opened

PRD_LADDER = "1,4,16"
DRAINED_A_MINUTE = 5_000
FLAT = 64 * 1024 * 1024
"""Bytes by which the memory of a draining instance may grow from the first tenth on."""
MOST_SECONDS = 3_600.0
SAYS_EVERY = 10.0
AT_REST_WITHIN = 900.0
"""Seconds after an outage of ten minutes: its backlog, and the pauses of those who tried in vain."""

LOST = ("I1", "I2", "I3", "I5")
DOUBLED = ("I4",)
CUSTOMERS, PAUSE = 10, 1.0
"""Together a little more than the peak."""

PEAK = 500
"""Orders a minute (PRD 10.1)."""

UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
RECEIVED = "SELECT count(*) FROM inbox"
QUEUED = "SELECT count(*) FROM notifications WHERE status = 'queued'"
UNSENT = "SELECT count(*) FROM notifications WHERE status <> 'sent'"

CLONED = """
WITH fresh AS (SELECT gen_random_uuid() AS order_id, gen_random_uuid() AS event_id FROM generate_series(1, $2)),
placed AS (
    INSERT INTO orders (id, user_id, items, shipping_address, total_amount, currency, created_at, updated_at)
    SELECT order_id, user_id, items, shipping_address, total_amount, currency, created_at, updated_at
    FROM orders, fresh WHERE id = $1
), entered AS (
    INSERT INTO order_history (order_id, to_status, actor_id, actor_role, at, hash)
    SELECT fresh.order_id, to_status, actor_id, actor_role, at, hash
    FROM order_history, fresh WHERE order_history.order_id = $1
), announced AS (
    INSERT INTO outbox (event_id, subject_id, routing_key, body, headers)
    SELECT fresh.event_id, fresh.order_id, routing_key,
           convert_to(replace(replace(convert_from(body, 'UTF8'), $1::text, fresh.order_id::text),
                              outbox.event_id::text, fresh.event_id::text), 'UTF8'), headers
    FROM outbox, fresh WHERE subject_id = $1
)
SELECT order_id FROM fresh
"""


@dataclass(frozen=True)
class Plan:
    """How much of each."""

    seed: int
    source: Path
    seconds: float
    orders: int
    backlog: int
    throttled: float
    out: float


async def by_chance(plan: Plan) -> Report:
    """Faults at random for so long and so many orders."""
    report = await at_random(plan.seed, source=plan.source, say=_say, seconds=plan.seconds, orders=plan.orders)
    report.figures += [
        Figure("orders under random faults", report.orders, least=plan.orders),
        Figure("seconds of random faults", report.seconds, least=plan.seconds),
        Figure("faults", report.seen[0].times, least=1),
        *_nothing_lost_or_doubled(report),
    ]
    return report


def _nothing_lost_or_doubled(report: Report) -> list[Figure]:
    """An e-mail that came twice because an attempt was in doubt is counted apart, and is none of these."""
    broken = [violation.partition(" ")[0] for violation in report.violations]
    return [
        Figure("lost", sum(each in LOST for each in broken), most=0),
        Figure("doubled", sum(each in DOUBLED for each in broken), most=0),
    ]


async def backlog(plan: Plan) -> Report:
    """So many events wait when one instance comes back: it drains them fast, and its memory stays flat (B-18)."""
    report, began = Report(plan.seed), monotonic()
    async with opened(seed=plan.seed, source=plan.source, proxied=False) as shop:
        scene = await Scene.set_up(shop)
        customer = await scene.people.customer()
        await _piled_up(scene, customer, plan.backlog)
        await shop.processes["notifications"].start()
        seconds, growth = await _drained(scene, plan.backlog)
        burnt = _processor_seconds(shop.processes["notifications"].pid)
        report.seen.append(Seen("B-18", f"a backlog of {plan.backlog} events", 1, seconds))
        await judged(scene, report)
        report.figures += [
            Figure("events drained by one instance", report.events, least=plan.backlog),
            Figure("events drained a minute", plan.backlog / seconds * 60, least=DRAINED_A_MINUTE),
            Figure("MiB by which its memory grew", growth / 2**20, most=FLAT / 2**20),
            Figure("microseconds of processor time for each", burnt * 1e6 / plan.backlog),
            *_nothing_lost_or_doubled(report),
        ]
        kept_logs(shop, report, _say)
    report.seconds = monotonic() - began
    return report


async def _piled_up(scene: Scene, customer: Person, number: int) -> None:
    """One order and many like it, published while nobody consumes."""
    shop = scene.shop
    order_id = await scene.people.place(customer)
    await until(lambda: settled(shop, [order_id]), within=60)
    await shop.processes["notifications"].stop()
    made = await shop.pools["orders"].fetch(CLONED, order_id, number, timeout=600)
    scene.history.operations += [
        Operation("place", customer.id, "cloned", Outcome.DONE, result=str(row["order_id"])) for row in made
    ]
    async with _telling(lambda: _told_unpublished(shop)):
        await until(lambda: _is_zero(shop, "orders", UNPUBLISHED), within=MOST_SECONDS, every=1)


async def _told_unpublished(shop: Shop) -> str:
    return f"{await shop.pools['orders'].fetchval(UNPUBLISHED)} events are not published yet"


async def _is_zero(shop: Shop, service: str, statement: str, *parameters: Any) -> bool:
    return bool(await shop.pools[service].fetchval(statement, *parameters) == 0)


async def _drained(scene: Scene, number: int) -> tuple[float, int]:
    """The seconds until all are sent, and by how many bytes the instance grew at most after the first tenth."""
    shop, began, sizes = scene.shop, monotonic(), list[int]()

    async def told() -> str:
        received = await shop.pools["notifications"].fetchval(RECEIVED)
        rate = (received - 1) / (monotonic() - began) * 60
        size = _resident(shop.processes["notifications"].pid) >> 20
        return f"{received - 1} events received, {rate:.0f} a minute, {size} MiB"

    with suppress(TimeoutError):
        async with asyncio.timeout(MOST_SECONDS), _telling(told):
            while not await _is_drained(shop, number):
                if await shop.pools["notifications"].fetchval(RECEIVED) >= number / 10:
                    sizes.append(_resident(shop.processes["notifications"].pid))
                await asyncio.sleep(1)
    return monotonic() - began, max(sizes, default=0) - next(iter(sizes), 0)


async def _is_drained(shop: Shop, number: int) -> bool:
    """Whether all of them, and the order that they are like, were received and are sent."""
    received = await shop.pools["notifications"].fetchval(RECEIVED)
    return received > number and await _is_zero(shop, "notifications", QUEUED)


def _resident(pid: int) -> int:
    """The memory that a process holds, in bytes."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def _processor_seconds(pid: int) -> float:
    """The processor time that a process has used, its own and the kernel's for it: what a busy machine does not add."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


def _throttle(plan: Plan) -> Fault:
    def begin(shop: Shop) -> Any:
        return provider_fails(shop, mode="throttle", retry_after=10)

    return Fault("P-2", f"both providers throttle for {plan.throttled:.0f} s", begin, plan.throttled, SERVER)


def _outage(plan: Plan) -> Fault:
    def begin(shop: Shop) -> Any:
        return provider_fails(shop, mode="error", status=503)

    return Fault("P-17", f"both providers out for {plan.out:.0f} s", begin, plan.out, 10 * SERVER)


async def throttling(plan: Plan) -> Report:
    """Both providers throttle at 500 orders a minute and with the PRD's ladder: no dead letter (P-2)."""
    return await _at_peak(plan, _throttle(plan))


async def outage(plan: Plan) -> Report:
    """Both providers are out at 500 orders a minute and with the PRD's ladder: all is delivered afterwards (P-17)."""
    return await _at_peak(plan, _outage(plan))


async def _at_peak(plan: Plan, fault: Fault) -> Report:
    report, began = Report(plan.seed), monotonic()
    async with opened(seed=plan.seed, source=plan.source, ladder=PRD_LADDER, proxied=False) as shop:
        scene = await Scene.set_up(shop, patience=AT_REST_WITHIN)
        async with _telling(lambda: _told_queued(scene)):
            peak = monotonic()
            report.seen += await under_load(scene, [fault], say=_say, customers=CUSTOMERS, pause=PAUSE)
            peak = monotonic() - peak
            ended = monotonic()
            await judged(scene, report)
        report.figures += [
            Figure("orders a minute meanwhile", report.orders / peak * 60, least=0.9 * PEAK),
            Figure("dead letters", report.parked, most=0),
            Figure("notifications that were not sent", await shop.pools["notifications"].fetchval(UNSENT), most=0),
            Figure("seconds until all was delivered", monotonic() - ended, most=AT_REST_WITHIN),
            *_nothing_lost_or_doubled(report),
        ]
        kept_logs(shop, report, _say)
    report.seconds = monotonic() - began
    return report


async def _told_queued(scene: Scene) -> str:
    queued = await scene.shop.pools["notifications"].fetchval(QUEUED)
    return f"{acknowledged(scene)} orders, {queued} notifications wait"


@asynccontextmanager
async def _telling(what: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Says every now and then how far it is, for as long as the block lasts."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(SAYS_EVERY)
            with suppress(*CANNOT_TELL):
                _say(await what())

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait([telling])


PARTS: dict[str, Callable[[Plan], Awaitable[Report]]] = {
    "chance": by_chance,
    "backlog": backlog,
    "throttling": throttling,
    "outage": outage,
}


def main() -> int:
    """Read the arguments, play, report."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run; by default another one each time")
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this one; may be given again")
    parser.add_argument("--seconds", type=float, default=1_200.0, help="how long chance plays at least")
    parser.add_argument("--orders", type=int, default=20_000, help="how many orders chance waits for")
    parser.add_argument("--backlog", type=int, default=100_000, help="how many events wait")
    parser.add_argument("--throttled", type=float, default=120.0, help="how long the providers throttle")
    parser.add_argument("--out", type=float, default=600.0, help="how long the providers are out")
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="the services' code, if not this tree's")
    parser.add_argument("--report", type=Path, help="where the figures go, as JSON")
    arguments = vars(parser.parse_args())
    wanted, path = arguments.pop("part") or list(PARTS), arguments.pop("report")
    if arguments["seed"] is None:
        arguments["seed"] = SystemRandom().randrange(10**6)
    _say(f"--seed {arguments['seed']} repeats this run")
    reports = asyncio.run(_played(Plan(**arguments), wanted))
    path = path or Path(tempfile.mkdtemp(prefix="shopflow-soak-report-")) / "soak.json"
    green = all(report.is_green for report in reports.values())
    _say(f"{'all reached' if green else 'NOT REACHED'}, figures in {written(reports, path)}")
    return 0 if green else 1


async def _played(plan: Plan, wanted: list[str]) -> dict[str, Report]:
    reports = {}
    for name in wanted:
        _say(name)
        reports[name] = await PARTS[name](plan)
        for line in reports[name].lines():
            _say(line)
    return reports


_BEGAN = monotonic()


def _say(line: str) -> None:
    sys.stdout.write(f"{monotonic() - _BEGAN:6.0f} s  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
