"""The long runs of `make soak`: chance for twenty minutes and 20,000 orders, a backlog, throttling, an outage at peak.

Exit status 0: every invariant held and every figure was reached. 1: not.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Any

from tests.chaos.acts import Scene
from tests.chaos.campaign import Report, Seen, at_random, judged, kept_logs, under_load, written
from tests.chaos.faults import SERVER, Fault, provider_fails
from tests.chaos.history import Operation, Outcome, Recovery
from tests.chaos.people import Person, until
from tests.chaos.shop import ROOT, Shop, opened

PRD_LADDER = "1,4,16"
DRAINED_A_MINUTE = 5_000
FLAT = 64 * 1024 * 1024
"""Bytes by which the memory of a draining instance may grow from the first tenth on."""
MOST_SECONDS = 3_600.0

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
    return await at_random(plan.seed, source=plan.source, say=_say, seconds=plan.seconds, orders=plan.orders)


async def backlog(plan: Plan) -> Report:
    """So many events wait when one instance comes back: it drains them fast, and its memory stays flat (B-18)."""
    report, began = Report(plan.seed), monotonic()
    async with opened(seed=plan.seed, source=plan.source, reads=False) as shop:
        scene = await Scene.set_up(shop)
        customer = await scene.people.customer()
        await _piled_up(scene, customer, plan.backlog)
        await shop.processes["notifications"].start()
        minutes, growth = await _drained(scene, plan.backlog)
        _say(
            f"{plan.backlog} events drained at {plan.backlog / minutes:.0f} a minute, memory grew by {growth >> 20} MiB"
        )
        report.seen.append(Seen("B-18", f"a backlog of {plan.backlog} events", 1, minutes * 60))
        limit = plan.backlog / DRAINED_A_MINUTE * 60
        scene.history.recoveries.append(Recovery("B-18", minutes * 60, limit))
        if growth > FLAT:
            report.violations.append(f"B-18 memory grew by {growth} bytes")
        await judged(scene, report)
        kept_logs(shop, report, _say)
    report.seconds = monotonic() - began
    return report


async def _piled_up(scene: Scene, customer: Person, number: int) -> None:
    """One order and many like it, published while nobody consumes."""
    shop = scene.shop
    order_id = await scene.people.place(customer)
    await shop.processes["notifications"].stop()
    made = await shop.pools["orders"].fetch(CLONED, order_id, number, timeout=300)
    scene.history.operations += [
        Operation("place", customer.id, "cloned", Outcome.DONE, result=str(row["order_id"])) for row in made
    ]
    waiting = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
    await until(lambda: _is_zero(shop, "orders", waiting), within=MOST_SECONDS, every=1)


async def _is_zero(shop: Shop, service: str, statement: str, *parameters: Any) -> bool:
    return bool(await shop.pools[service].fetchval(statement, *parameters) == 0)


async def _drained(scene: Scene, number: int) -> tuple[float, int]:
    """The minutes until all are sent, and by how many bytes the instance grew after the first tenth."""
    shop, began, first, last = scene.shop, monotonic(), 0, 0
    with suppress(TimeoutError):
        async with asyncio.timeout(MOST_SECONDS):
            while True:
                received = await shop.pools["notifications"].fetchval("SELECT count(*) FROM inbox")
                last = _resident(shop.processes["notifications"].pid)
                first = first or (last if received >= number / 10 else 0)
                queued = "SELECT count(*) FROM notifications WHERE status = 'queued'"
                if received > number and await _is_zero(shop, "notifications", queued):
                    break
                await asyncio.sleep(1)
    return (monotonic() - began) / 60, last - first


def _resident(pid: int) -> int:
    """The memory that a process holds, in bytes."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


async def providers(plan: Plan) -> Report:
    """Both providers throttle, then are out, at 500 orders a minute and with the PRD's ladder (P-2, P-17)."""
    report, began = Report(plan.seed), monotonic()

    def throttled(shop: Shop) -> Any:
        return provider_fails(shop, mode="throttle", retry_after=10)

    def out(shop: Shop) -> Any:
        return provider_fails(shop, mode="error", status=503)

    faults = [
        Fault("P-2", f"both providers throttle for {plan.throttled:.0f} s", throttled, plan.throttled, SERVER),
        Fault("P-17", f"both providers out for {plan.out:.0f} s", out, plan.out, 10 * SERVER),
    ]
    async with opened(seed=plan.seed, source=plan.source, ladder=PRD_LADDER) as shop:
        scene = await Scene.set_up(shop)
        for fault in faults:
            before = report.parked
            report.seen += await under_load(scene, [fault], say=_say, customers=8, pause=0.9)
            await judged(scene, report)
            _say(f"{fault.row}: {report.parked - before} parked in all")
        kept_logs(shop, report, _say)
    report.seconds = monotonic() - began
    return report


RUNS: dict[str, Callable[[Plan], Awaitable[Report]]] = {
    "chance": by_chance,
    "backlog": backlog,
    "providers": providers,
}


def main() -> int:
    """Read the arguments, play, report."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run; by default another one each time")
    parser.add_argument("--run", choices=list(RUNS), action="append", help="only this part; may be given again")
    parser.add_argument("--seconds", type=float, default=1_200.0, help="how long chance plays at least")
    parser.add_argument("--orders", type=int, default=20_000, help="how many orders chance waits for")
    parser.add_argument("--backlog", type=int, default=100_000, help="how many events wait")
    parser.add_argument("--throttled", type=float, default=120.0, help="how long the providers throttle")
    parser.add_argument("--out", type=float, default=600.0, help="how long the providers are out")
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="the services' code, if not this tree's")
    arguments = parser.parse_args()
    wanted = arguments.run or list(RUNS)
    del arguments.run
    arguments.seed = SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    _say(f"--seed {arguments.seed} repeats this run")
    reports = asyncio.run(_played(Plan(**vars(arguments)), wanted))
    _say(f"figures in {written(reports, Path(tempfile.mkdtemp(prefix='shopflow-soak-report-')))}")
    return 0 if all(report.is_green for report in reports.values()) else 1


async def _played(plan: Plan, wanted: list[str]) -> dict[str, Report]:
    reports = {}
    for name in wanted:
        _say(name)
        reports[name] = await RUNS[name](plan)
        for line in reports[name].lines():
            _say(line)
    return reports


_BEGAN = monotonic()


def _say(line: str) -> None:
    sys.stdout.write(f"{monotonic() - _BEGAN:6.0f} s  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
