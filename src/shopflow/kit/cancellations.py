"""Cancellations that nobody asked for: libraries cancel what others wait for when a connection is given up."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


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
