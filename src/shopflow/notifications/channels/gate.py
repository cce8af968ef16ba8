"""Whether a channel may be used now: it rests while its provider wants fewer, refuses us, or is down (R55, D8, D9).

Owns the state of one channel in one process and announces its changes. It never asks the clock and never sends: whoever
sends asks here first, and tells what came of it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.notifications.channels import Accepted, Adopted, Failed, InDoubt, Misconfigured, Outcome, Rejected

BREAKS_AT: Final = 20
"""Passing faults in a row, without one success between them, that are taken for an outage (D9)."""

FIRST_PAUSE: Final = 30.0
"""Seconds that a provider who wants fewer, and does not say how long, is left alone at first; they double."""

LONGEST: Final = 20
"""First pauses in the longest one: ten minutes, as Amazon advises."""

WORTH_WAITING: Final = 1.0
"""Seconds to wait for the pace on the spot; whoever would have to wait longer waits at the broker (R55)."""


class Cause(StrEnum):
    """Why a channel rests."""

    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    OUTAGE = "outage"


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one attempt.

    Attributes:
        era: what the gate was like then: what came of an older attempt says nothing about now.
        probe: the one attempt that finds out whether a resting channel works again; it is no retry.
        delay: seconds to wait before the attempt, so that the pace is kept.
    """

    era: int
    probe: bool
    delay: float


class Gate:
    """One channel's way out.

    Args:
        name: the channel's, for metrics and logs.
        metrics: whether it rests and why, how often it began to, and what was held back.
        pause: seconds of a first rest.
        pace: messages a second that the provider takes at most; None leaves it to the provider.
    """

    def __init__(self, name: str, *, metrics: Metrics, pause: float = FIRST_PAUSE, pace: float | None = None) -> None:
        self._name = name
        self._pause = pause
        self._pace = None if pace is None else Pace(pace)
        self._cause: Cause | None = None
        self._until = self._opened = 0.0
        self._last_rest = 0.0
        self._failures = 0
        self._era = 0
        self._probing: Permit | None = None
        self._log = logs.logger("gate")
        resting = metrics.gauge("channel_paused", "1 while a channel rests.", ("channel", "cause"))
        self._resting = {cause: resting.labels(name, cause) for cause in Cause}
        pauses = metrics.counter("channel_pauses_total", "How often a channel began to rest.", ("channel", "cause"))
        self._pauses = {cause: pauses.labels(name, cause) for cause in Cause}
        self._held = metrics.counter(
            "deliveries_held_total", "Deliveries put off because the channel rests or is at its pace.", ("channel",)
        ).labels(name)

    async def answers(self) -> bool:
        """Whether the channel can be used; for `/ready`."""
        return self._cause is None

    def enter(self, now: float, *, risky: bool = False) -> Permit | None:
        """Asks for the right to make one attempt; None while there is none.

        Args:
            now: seconds of a clock that never goes back.
            risky: this message should not be the one that finds out whether a provider works again, since it may
                reach the customer once too often. It is so all the same when no other came for two pauses.
        """
        permit = self._permit(now, risky=risky)
        if permit is None:
            self._held.inc()
        elif permit.probe:
            self._probing = permit
        return permit

    def holds(self, permit: Permit) -> bool:
        """Whether a permit still counts: nothing happened to the channel since it was given."""
        return permit.era == self._era

    def heard(self, permit: Permit, outcome: Outcome | Adopted, now: float) -> None:
        """Learns from what came of an attempt."""
        if not self.holds(permit):
            return
        match outcome:
            case Accepted() | Adopted() | Rejected():
                self._worked(now)
            case Misconfigured(code):
                self._rest(Cause.MISCONFIGURED, self._pause, now, code)
            case Failed(code, throttled=True, retry_after=seconds):
                self._rest(Cause.THROTTLED, self._throttle(now) if seconds is None else seconds, now, code)
            case Failed() | InDoubt():
                self._failed(permit, now)

    def leave(self, permit: Permit) -> None:
        """Gives the permit back, whatever came of it: without a word from the provider, the next one is the probe."""
        if self._probing is permit:
            self._probing = None

    def _permit(self, now: float, *, risky: bool) -> Permit | None:
        probe = self._cause is not None
        if probe and (now < self._until or self._probing or (risky and now < self._until + 2 * self._pause)):
            return None
        delay = 0.0 if self._pace is None else self._pace.take(now)
        return None if delay is None else Permit(self._era, probe, delay)

    def _worked(self, now: float) -> None:
        self._failures = 0
        if self._cause is None:
            return
        self._log.info("channel_resumed", channel=self._name, cause=self._cause)
        self._resting[self._cause].set(0)
        self._cause = None
        self._opened = now
        self._era += 1

    def _failed(self, permit: Permit, now: float) -> None:
        self._failures += 1
        if permit.probe or self._failures >= BREAKS_AT:
            self._rest(Cause.OUTAGE, self._pause / 2, now, None)

    def _rest(self, cause: Cause, seconds: float, now: float, code: str | None) -> None:
        if self._cause is not cause:
            self._pauses[cause].inc()
            if self._cause is not None:
                self._resting[self._cause].set(0)
            self._resting[cause].set(1)
        self._log.warning("channel_paused", channel=self._name, cause=cause, seconds=seconds, code=code)
        self._cause, self._until = cause, now + seconds
        self._last_rest = seconds
        self._failures = 0
        self._era += 1

    def _throttle(self, now: float) -> float:
        """Twice as long as last time, when the provider had enough again before it was left in peace for as long."""
        again = self._cause is Cause.THROTTLED or (self._opened and now - self._opened < self._last_rest)
        return min(max(self._last_rest * 2, self._pause), self._pause * LONGEST) if again else self._pause


class Pace:
    """A bucket that fills by so many tokens a second and holds those of one second, at least one."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._most = max(a_second, 1.0)
        self._tokens = self._most
        self._at = 0.0

    def take(self, now: float) -> float | None:
        """Takes a token, on credit where there is none: the seconds until it is there, or None beyond a second."""
        filled = min(self._most, self._tokens + max(now - self._at, 0.0) * self._a_second)
        lacking = max(1.0 - filled, 0.0) / self._a_second
        if lacking > WORTH_WAITING:
            return None
        self._tokens, self._at = filled - 1.0, now
        return lacking
