"""Cancellations that nobody asked for, and those that get lost: libraries cancel what others wait for, and swallow."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_AGAIN_AFTER: Final = 0.5  # seconds: what is closed in between has time to be closed


@contextmanager
def none_but_ours() -> Iterator[None]:
    """Inside, a cancellation counts only if somebody cancelled this task.

    Another one comes from a future that a library cancelled under us. It would pass by every `except Exception` and
    end the task without a word, and with it whatever the task was to hand back.

    Raises:
        ConnectionError: in place of a cancellation that is not ours.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("given up under whoever waited for it") from error


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancels a task until it has ended.

    Once may not be enough: a library that closes what it had opened may raise an error of its own in place of the
    cancellation, and `wait_for` of Python 3.11 loses one that comes with the answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_AFTER)
