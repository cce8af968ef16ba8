"""The open loop: every call of a fixed schedule begins at its intended time, whether or not those before it have been
answered, and its latency counts from that time. It knows neither HTTP nor orders: `perform` does one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

LONGEST_CALL = 10.0
"""Seconds after which a call counts as failed. Bounds how many are in flight."""


class Arrival(msgspec.Struct, frozen=True):
    """One call of a schedule: `at` seconds after its beginning, for the `subject`th order or sign-in."""

    at: float
    what: str
    subject: int
    measured: bool = True


class Sample(msgspec.Struct, frozen=True):
    """What became of one call.

    Attributes:
        arrival: the call.
        seconds: from its intended time to its answer, so that nothing that held it up is left out.
        late: seconds of these that this driver needed to begin it: its own share of the measurement.
        error: why it failed; None when it did not.
    """

    arrival: Arrival
    seconds: float
    late: float
    error: str | None


class CallFailed(Exception):
    """The answer is not the one that was expected. The message says which one came, in few words."""


async def drive(schedule: Sequence[Arrival], perform: Callable[[Arrival], Awaitable[None]]) -> list[Sample]:
    """Plays a schedule, in its order of times, to the last answer.

    Args:
        schedule: the calls; those with the lower `at` first.
        perform: does one call. CallFailed, ConnectionError, OSError and TimeoutError make it a failed one; everything
            else is a defect, and ends the whole run.
    """
    loop = asyncio.get_running_loop()
    samples: list[Sample] = []
    began = loop.time()

    async def call(arrival: Arrival, late: float) -> None:
        error = await _error_of(perform(arrival))
        samples.append(Sample(arrival, loop.time() - began - arrival.at, late, error))

    async with asyncio.TaskGroup() as calls:
        for arrival in schedule:
            if (pause := began + arrival.at - loop.time()) > 0:
                await asyncio.sleep(pause)
            calls.create_task(call(arrival, loop.time() - began - arrival.at))
    return samples


async def _error_of(call: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(LONGEST_CALL):
            await call
    except TimeoutError:
        return f"no answer within {LONGEST_CALL:.0f} s"
    except (CallFailed, OSError) as failure:
        return str(failure) or type(failure).__name__
    return None
