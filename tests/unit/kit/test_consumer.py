"""For how long a copy waits: as long as the handler wants it to, in one queue or several, and never in a hurry."""

import pytest

from shopflow.kit.consumer import Done, Message, Verdict, Work, _delay


async def handle(_: Message) -> Verdict:
    return Done()


WORK = Work(
    queue="q", delays=(1, 4, 16), pause=30, wait_queue=str, parking_exchange="x", parking_key="k", handle=handle
)  # fmt: skip


@pytest.mark.parametrize(
    ("after", "delay"),
    [(None, 30), (0.001, 1), (1, 1), (3.5, 1), (3.7, 4), (4, 4), (12, 4), (15, 16), (16, 16), (29.5, 30), (3600, 30)],
)
def test_a_copy_waits_in_the_queue_of_the_longest_delay_that_is_not_too_long(after: float | None, delay: float) -> None:
    assert _delay(WORK, after) == delay
