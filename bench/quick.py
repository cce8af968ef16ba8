"""`make bench-quick`: the targets of the PRD at its peak, memory and time to start, in about three minutes."""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import deliveries, machine, people, report, shop, targets, traffic, watch
from bench.driver import drive
from bench.figures import P99, percentile
from bench.people import Person
from bench.report import Noise, Result, Setting
from bench.shop import Platform
from bench.traffic import Traffic
from bench.watch import Between
from shopflow.auth.tokens import Tokens
from shopflow.contracts.identity import Role

REPOSITORY: Final = Path(__file__).parent.parent
RESULTS: Final = REPOSITORY / "bench" / "results"

PEAK: Final = 500.0
"""Orders per minute that the PRD promises to bear."""

_WARM_UP: Final = 10.0
_CUSTOMERS: Final = 1000
_ADMINS: Final = 20
_PAST_ORDERS: Final = 20
_SECONDS_A_LOGIN: Final = 6.0  # between two: a sign-in takes a core for a quarter of a second
_REST: Final = 3.0  # seconds between everything answering and looking at the memory of idle services


class Options(argparse.Namespace):
    """What the command line asked for."""

    seconds: float
    orders_per_minute: float
    json: bool
    results: Path


def main() -> int:
    """Runs it. Exit status: 0 when all targets but login's hold, 1 when one does not, 2 when it could not be run."""
    options = _options()
    try:
        result = asyncio.run(_stoppable(_run(options)))
    except shop.NotUp as failure:
        sys.stderr.write(f"bench-quick: the platform did not come up\n{failure}\n")
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("bench-quick: stopped\n")
        return 130
    encoded = msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "quick.json").write_bytes(encoded)
    (options.results / "quick.md").write_text(report.page(result) + "\n", encoding="utf-8")
    print(encoded.decode() if options.json else report.page(result))
    return 0 if result.held else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="bench-quick", description=__doc__)
    parser.add_argument("--seconds", type=_positive, default=75.0, help="how long to measure (default: 75)")
    parser.add_argument(
        "--orders-per-minute", type=_positive, default=PEAK, help="the rate of arrivals (default: the PRD's peak, 500)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where quick.json and quick.md go")
    return parser.parse_args(namespace=Options())


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError("must be above 0 and at most 100000")
    return value


async def _stoppable(work: Coroutine[Any, Any, Result]) -> Result:
    """SIGTERM ends a run as Ctrl-C does: with everything stopped and removed."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _run(options: Options) -> Result:
    described = machine.describe(REPOSITORY)
    password_hash, hash_seconds = people.timed_hash()
    async with shop.own() as platform:
        _say("first start, in a fresh home")
        first = await platform.start()
        await platform.stop()
        _say(f"  took {first.seconds:.1f} s; second start")
        second = await platform.start()
        _say(f"  took {second.seconds:.1f} s")
        await asyncio.sleep(_REST)
        idle = watch.memory(platform)
        customers, admins = await _settle_in(platform, password_hash)
        run = await _load(platform, options, customers=customers, admins=admins)
        loaded = watch.memory(platform)
    late = sorted(sample.late * 1000 for sample in run.samples if sample.arrival.measured)
    return Result(
        machine=described,
        setting=Setting(
            options.orders_per_minute, options.seconds, _WARM_UP, len(customers), len(admins), _PAST_ORDERS
        ),
        hash_ms=hash_seconds * 1000,
        figures=targets.figures(run),
        limits=[*targets.counts(run), *targets.memory(idle, loaded), *targets.starts(first, second)],
        cores={part: run.between.cores(part) for part in run.between.last.busy} | {"driver": run.between.driver_cores},
        noise=Noise(run.between.other_cores, run.between.stolen_cores, percentile(late, P99), late[-1]),
    )


async def _settle_in(platform: Platform, password_hash: str) -> tuple[list[Person], list[Person]]:
    tokens = Tokens(platform.jwt_secret)
    customers = people.people(_CUSTOMERS, Role.CUSTOMER, tokens=tokens)
    admins = people.people(_ADMINS, Role.ADMIN, tokens=tokens)
    databases = platform.addresses.postgres
    await people.store(databases["auth"], customers + admins, password_hash=password_hash)
    await people.store_past_orders(databases["orders"], customers, each=_PAST_ORDERS)
    return customers, admins


async def _load(
    platform: Platform, options: Options, *, customers: Sequence[Person], admins: Sequence[Person]
) -> targets.Run:
    addresses = platform.addresses
    calls = traffic.schedule(
        orders_per_minute=options.orders_per_minute,
        warm_up=_WARM_UP,
        seconds=options.seconds,
        logins=max(round(options.seconds / _SECONDS_A_LOGIN), 1),
        dice=random.Random(1),
    )
    _say(f"{len(calls)} calls in {calls[-1].at:.0f} s")
    async with Traffic(
        auth=addresses.auth,
        orders=addresses.orders,
        customers=customers,
        admins=admins,
        number=traffic.orders_in(calls),
    ) as shoppers:
        since = time.time() + _WARM_UP
        async with asyncio.TaskGroup() as together:
            looking = together.create_task(_two_looks(platform, options.seconds))
            driving = together.create_task(drive(calls, shoppers.perform))
    placed = [order for order in shoppers.orders if order.id is not None]
    _say("waiting for the last messages")
    await deliveries.settled(addresses, number=4 * len(placed))
    until = since + options.seconds
    return targets.Run(
        driving.result(),
        looking.result(),
        len(placed),
        await deliveries.read(addresses, placed, since=since, until=until),
        await deliveries.publishing(addresses, since=since, until=until),
    )


async def _two_looks(platform: Platform, seconds: float) -> Between:
    await asyncio.sleep(_WARM_UP)
    first = await watch.look(platform)
    await asyncio.sleep(seconds)
    return Between(first, await watch.look(platform))


def _say(text: str) -> None:
    with suppress(BrokenPipeError):
        sys.stderr.write(f"bench-quick: {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
