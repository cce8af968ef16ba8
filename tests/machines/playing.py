"""Plays a machine in a thread beside the loop that serves, so that neither breaks the other."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def play(machine: type[RuleBasedStateMachine], *, examples: int, steps: int, dice: int | None = None) -> None:
    """Plays so many sequences of at most so many steps; without `dice`, a seed, they are the same each time."""
    how = settings(max_examples=examples, stateful_step_count=steps, derandomize=dice is None, database=None)
    with _undisturbed():
        run_state_machine_as_test(machine if dice is None else seed(dice)(machine), settings=how)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without the collection of cycles: Hypothesis listens to it in Python, and a switch of threads at that moment
    breaks CPython 3.11's parser when the other thread parses too, as it does to show a traceback.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
