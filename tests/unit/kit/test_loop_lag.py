"""What blocks the event loop is seen, and what does not is not."""

import asyncio
import re
import time

from shopflow.kit.loop_lag import LoopLag
from shopflow.kit.metrics import Metrics


def value(metrics: Metrics, line: str) -> float:
    """One line of the metrics."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", metrics.text().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_a_loop_that_was_blocked_shows_it() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics)
    await lag.open()
    before = value(metrics, "shopflow_event_loop_lag_seconds_count")
    async with asyncio.timeout(10):
        while value(metrics, "shopflow_event_loop_lag_seconds_count") < before + 3:
            await asyncio.sleep(0.01)
    time.sleep(0.25)  # noqa: ASYNC251 - to block it is the point
    async with asyncio.timeout(10):
        while lag.largest < 0.2:
            await asyncio.sleep(0.01)
    await lag.close()
    assert value(metrics, "shopflow_event_loop_lag_max_seconds") == lag.largest
    over = value(metrics, "shopflow_event_loop_lag_seconds_count")
    assert value(metrics, 'shopflow_event_loop_lag_seconds_bucket{le="0.2"}') < over


async def test_after_the_end_nothing_is_measured() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics)
    await lag.close()
    await lag.open()
    await lag.close()
    await asyncio.sleep(0.1)
    assert value(metrics, "shopflow_event_loop_lag_seconds_count") == 0
