"""Several instances side by side, one of which stands still, dies, or meets a message that kills it again and again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.chaos.acts import ACTS, Scene
from tests.chaos.campaign import WHOLE, Report, Say, Seen, Share, judged, kept_logs, told_within
from tests.chaos.evidence import parked
from tests.chaos.load import Load
from tests.chaos.proxy import Decision
from tests.chaos.rows import IN, OUT
from tests.chaos.shop import Shop, Step, opened
from tests.chaos.steps import Point, Trap

FROZEN = 45.0
"""Seconds of standing still: past every lease and every heartbeat."""
ROWS = ("K20", "K21", "K22", "B-21")
CRASHES = 5
TAKEN_OVER_WITHIN = 100.0

FREEZES = (
    ("K20", Point("place", "notifications-postgres", f"{IN}insert inbox"), "notifications"),
    ("K20", Point("place", "notifications-provider", f"{OUT}POST /2010-04-01"), "notifications"),
    ("K21", Point("place", "orders-postgres", f"{IN}update outbox claimed_by"), "orders"),
    ("K21", Point("place", "orders-rabbitmq", f"{OUT}publish order.events"), "orders"),
)
"""Where a process stands still: right after it claimed, and right before its work reaches the other side."""


async def several(seed: int, *, source: Path, say: Say, rows: Sequence[str] = ROWS, share: Share = WHOLE) -> Report:
    """K20, K21, K22 and B-21, in one shop with two and then five instances of a service."""
    report, began = Report(seed), monotonic()
    wanted = share.of_all([row for row in ROWS if row in rows])
    async with opened(seed=seed, source=source) as shop:
        scene = await Scene.set_up(shop)
        if "K22" in wanted:
            report.seen.append(await _poisoned(scene, report, say=say))
        if {"K20", "K21"} & set(wanted):
            await _joined(shop, "notifications-2", "orders-2")
        for row, point, name in FREEZES:
            if row in wanted:
                report.seen.append(await _stood_still(scene, row, point, name, say=say))
        if "B-21" in wanted:
            report.seen.append(await _shared(scene, say=say))
        await judged(scene, report)
        kept_logs(shop, report, say)
    report.seconds = monotonic() - began
    return report


async def _joined(shop: Shop, *names: str) -> None:
    for name in names:
        if name not in shop.processes:
            await shop.add(name)
            await shop.start(name)


async def _stood_still(scene: Scene, row: str, point: Point, name: str, *, say: Say) -> Seen:
    """One of two instances is frozen in the middle; the other one takes over; the frozen one wakes up too late."""
    play = await ACTS[point.act](scene)
    process = scene.shop.processes[name]
    trap = Trap(scene.shop, point, process.freeze, decision=Decision.PASS)
    orders: list[str] = []
    for _ in range(8):  # whichever of the two gets the work
        trap.arm()
        orders = await play()
        try:
            async with asyncio.timeout(3):
                await trap.sprung.wait()
            break
        except TimeoutError:
            play = await ACTS[point.act](scene)
    trap.disarm()
    assert trap.sprung.is_set(), f"{point} was not reached"
    began = monotonic()
    await told_within(scene, orders, FROZEN)
    await asyncio.sleep(FROZEN - (monotonic() - began))
    process.thaw()
    seconds = await told_within(scene, orders, TAKEN_OVER_WITHIN)
    say(f"{row} {name} stood still at {point.name}: settled {seconds:.1f} s after it woke")
    return Seen(row, f"{name} frozen for {FROZEN:.0f} s at {point.name}", 1, seconds)


async def _poisoned(scene: Scene, report: Report, *, say: Say) -> Seen:
    """A message whose handling kills the process each time is parked, and its neighbours are delivered (K22)."""
    customer = await scene.people.customer()
    process = scene.shop.processes["notifications"]
    died = asyncio.Event()

    def watch(step: Step) -> Decision:
        if step.link != "notifications-orders" or not step.name.startswith(OUT) or "/health" in step.name:
            return Decision.PASS
        process.kill()
        died.set()
        return Decision.CUT

    scene.shop.watch = watch
    order_id = await scene.people.place(customer)
    crashes = 0
    while not await _is_parked(scene, order_id) and crashes <= CRASHES + 1:
        try:
            async with asyncio.timeout(10):
                await died.wait()
        except TimeoutError:
            continue
        died.clear()
        crashes += 1
        await process.ended()
        await process.start()
    scene.shop.watch = lambda _: Decision.PASS
    if process.child is None or process.child.exit_status is not None:
        await process.start()
    await scene.shop.ready("notifications")
    neighbours = [await scene.people.place(customer) for _ in range(3)]
    seconds = await told_within(scene, neighbours, TAKEN_OVER_WITHIN)
    say(f"K22 a message that kills: {crashes} crashes")
    if not await _is_parked(scene, order_id):
        report.violations.append(f"K22 the event of order {order_id} is not parked after {crashes} crashes")
    return Seen("K22", "a message that kills whoever handles it", crashes, seconds)


async def _is_parked(scene: Scene, order_id: str) -> bool:
    events = await scene.shop.pools["orders"].fetch(
        "SELECT event_id FROM outbox WHERE subject_id = $1::text::uuid", order_id
    )
    set_aside = {event for event, _ in await parked(scene.shop)}
    return any(str(row["event_id"]) in set_aside for row in events)


async def _shared(scene: Scene, *, say: Say) -> Seen:
    """Five instances share the work; one is killed, and the rest take over (B-21)."""
    await _joined(scene.shop, *(f"notifications-{number}" for number in range(2, 6)))
    async with Load(scene, customers=8, pause=0.3):
        await asyncio.sleep(6)
        scene.shop.processes["notifications-3"].kill()
        await asyncio.sleep(6)
        await scene.shop.restart("notifications-3")
    placed = [each.result for each in scene.history.of("place") if each.result]
    seconds = await told_within(scene, placed, TAKEN_OVER_WITHIN)
    shares = [process.log.read_text().count('"delivered"') for name, process in sorted(scene.shop.processes.items())
              if name.startswith("notifications")]  # fmt: skip
    say(f"B-21 five instances delivered {shares}")
    return Seen("B-21", "five instances, one of them killed", 1, seconds)
