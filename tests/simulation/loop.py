"""An event loop in virtual time on which several processes run, die and stand still. It knows nothing of what they do.

What belongs to a process is told by a context variable, which its tasks inherit. Each process has a queue of its own,
first in, first out, as in any loop; which process goes next is thrown by dice. When nobody can go on, time jumps.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final

LONGEST: Final = 20_000
"""Steps after which a schedule that never ends is given up."""

_LAST_WORDS: Final = 60.0


class Process:
    """One life of a process: what belongs to it, and how many steps it has made.

    Attributes:
        name: for the trace.
        dies_at: the step before which it dies; 0: it lives.
        freezes_at: the step before which it stands still; 0: it never does.
        again: begins its next life.
        keeps: what it is made of, so that nothing of it is collected while it lives.
    """

    def __init__(self, name: str, *, dies_at: int = 0, freezes_at: int = 0) -> None:
        self.name = name
        self.dies_at = dies_at
        self.freezes_at = freezes_at
        self.steps = 0
        self.is_alive = True
        self.is_frozen = False
        self.waiting: deque[asyncio.Handle] = deque()
        self.again: Callable[[], object] = lambda: None
        self.keeps: tuple[object, ...] = ()
        self.context = copy_context()
        self.context.run(OWNER.set, self)


OWNER: ContextVar[Process | None] = ContextVar("owner", default=None)
"""Whose step this is; None is the world around all processes."""


class NothingWillHappen(Exception):
    """No step can be made and no timer is set, or there were too many: somebody waits for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one schedule.

    Args:
        dice: decide who goes next.
        on_death: told of a process that is about to make the step at which it dies, or at which it stands still.
    """

    def __init__(
        self, dice: Random, *, on_death: Callable[[Process], None], on_freeze: Callable[[Process], None]
    ) -> None:
        super().__init__()
        self.surprises: list[str] = []
        self._dice = dice
        self._on_death = on_death
        self._on_freeze = on_freeze
        self._at = 0.0
        self._steps = 0
        self._world: deque[asyncio.Handle] = deque()
        self.processes: list[Process] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._left: list[asyncio.Handle] = []
        self._burying = False
        self.set_task_factory(self._task)  # type: ignore[arg-type] # its protocol knows no context yet
        self.set_exception_handler(self._surprised)

    def time(self) -> float:
        """Virtual seconds since the schedule began."""
        return self._at

    def add(self, process: Process) -> None:
        """From now on its steps are made."""
        self.processes.append(process)

    def kill(self, process: Process) -> None:
        """Nothing of it makes another step, no `finally` either."""
        process.is_alive = False
        self._left += process.waiting
        process.waiting.clear()
        self.processes.remove(process)

    def start(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something as a part of a process."""
        return self.create_task(work, context=process.context.copy())

    def bury(self) -> None:
        """Ends every task, those of the dead too, so that nothing is left to the garbage collector."""
        self._burying = True
        self._steps = 0
        self._world.extend(self._left)
        while living := [task for task in self._tasks if not task.done()]:
            for task in living:
                task.cancel()
            self.run_until_complete(asyncio.wait(living, timeout=_LAST_WORDS))
        self.close()

    def _task(
        self, _: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=self, context=context)
        self._tasks.append(task)
        return task

    def _run_once(self) -> None:
        self._sort_in()
        lanes = [each.waiting for each in self.processes if each.waiting and (self._burying or not each.is_frozen)]
        if self._world:
            lanes.append(self._world)
        if not lanes:
            self._advance()
            return
        lane = lanes[0] if len(lanes) == 1 else lanes[self._dice.randrange(len(lanes))]
        self._step(lane.popleft())

    def _step(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        self._steps += 1
        if self._steps > LONGEST:
            raise NothingWillHappen("it never ends")
        owner = _owner(handle)
        if owner is not None and not self._burying:
            owner.steps += 1
            if owner.steps == owner.dies_at:
                self._left.append(handle)
                self._on_death(owner)
                return
            if owner.steps == owner.freezes_at:
                owner.waiting.appendleft(handle)
                self._on_freeze(owner)
                return
        handle._run()

    def _sort_in(self) -> None:
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined] # the base class keeps it
        while ready:
            handle = ready.popleft()
            owner = _owner(handle)
            if owner is None or self._burying:
                self._world.append(handle)
            elif owner.is_alive:
                owner.waiting.append(handle)
            else:
                self._left.append(handle)

    def _advance(self) -> None:
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined] # the base class keeps it
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined] # as above
        while timers and timers[0].cancelled():
            _taken(timers)
        if not timers:
            if self._stopping:  # type: ignore[attr-defined] # as above
                return
            raise NothingWillHappen("nobody can go on")
        self._at = max(self._at, timers[0].when())
        while timers and timers[0].when() <= self._at:
            ready.append(_taken(timers))

    def _surprised(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._burying:
            self.surprises.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        """There is no other thread to be woken by."""


def _owner(handle: asyncio.Handle) -> Process | None:
    context: Context = handle._context  # type: ignore[attr-defined] # nothing else says whose it is
    return context.get(OWNER)


def _taken(timers: list[asyncio.TimerHandle]) -> asyncio.TimerHandle:
    timer = heapq.heappop(timers)
    timer._scheduled = False  # type: ignore[attr-defined] # so does the base class
    return timer
