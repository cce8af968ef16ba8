"""Any sequence of what can happen to somebody's sessions, on a subject and on the model side by side (E4, I8)."""

import gc
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.machines.session_model import DAY, SECOND, Model, Session

STEPS: Final = (1, 3 * SECOND, 9 * SECOND, 60 * SECOND, 200 * SECOND, 3600 * SECOND, 10 * DAY, 29 * DAY)


@dataclass(frozen=True)
class Pair:
    """What a sign-in or a refresh gave; both are the subject's own."""

    access: Any
    refresh: Any


class Subject(Protocol):
    """Sessions of one user, as they really are.

    Attributes:
        slack: microseconds that a step can take by itself: decisions nearer than that to an edge are not asked for.
    """

    slack: int

    def now(self) -> int: ...
    def wait(self, microseconds: int) -> None: ...
    def sign_in(self) -> Pair | None: ...
    def show(self, refresh: Any) -> Pair | None: ...
    def sign_out(self, refresh: Any, *, everywhere: bool) -> None: ...
    def activate(self, *, active: bool) -> None: ...
    def holds(self, access: Any) -> bool: ...


class SessionMachine(RuleBasedStateMachine):
    """Give it a subject by overriding `subject`."""

    def subject(self) -> Subject:
        """A fresh subject: an active user without sessions."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.real = self.subject()
        self.model = Model()
        self.access: list[Any] = []
        self.refresh: list[list[Any]] = []

    @rule()
    def sign_in(self) -> None:
        pair = self.real.sign_in()
        assert (pair is not None) == self.model.sign_in(self.real.now())
        if pair is not None:
            self.access.append(pair.access)
            self.refresh.append([pair.refresh])

    @rule(step=some.sampled_from(STEPS))
    def wait(self, step: int) -> None:
        self.real.wait(step)

    @precondition(lambda self: self.model.sessions and not self.real.slack)
    @rule(which=some.integers(0, 30), by=some.integers(-1, 1))
    def wait_until_an_edge(self, which: int, by: int) -> None:
        ahead = [edge + by - self.real.now() for edge in self._edges() if edge + by > self.real.now()]
        if ahead:
            self.real.wait(sorted(ahead)[which % len(ahead)])

    @precondition(lambda self: self.model.sessions)
    @rule(which=some.integers(0, 3), back=some.sampled_from((0, 0, 0, 1, 1, 2, 5)), times=some.sampled_from((1, 1, 2)))
    def show(self, which: int, back: int, times: int) -> None:
        session, number = self._some_token(which, back)
        self._step_off_the_edge(session, number)
        for _ in range(times):
            self._show(session, number)

    @precondition(lambda self: self.model.sessions)
    @rule(which=some.integers(0, 3), back=some.sampled_from((0, 1)), every=some.sampled_from((4, 9, 60, 200)))
    def insist(self, which: int, back: int, every: int) -> None:
        """Somebody shows one token again and again: no tolerance may begin anew with each (A-10)."""
        session, number = self._some_token(which, back)
        for _ in range(4):
            self._step_off_the_edge(session, number)
            self._show(session, number)
            self.real.wait(every * SECOND)

    @precondition(lambda self: self.model.sessions)
    @rule(which=some.integers(0, 3), back=some.sampled_from((0, 0, 1)), everywhere=some.booleans())
    def sign_out(self, which: int, back: int, everywhere: bool) -> None:
        session, number = self._some_token(which, back)
        self._step_off_the_edge(session, number)
        self.real.sign_out(self._refresh(session, number), everywhere=everywhere)
        self.model.sign_out(session, number, self.real.now(), everywhere=everywhere)

    @rule(really=some.sampled_from((False, False, True)))
    def deactivate_or_reactivate(self, really: bool) -> None:
        if self.model.active and not really:
            return  # or most of a life would be spent outside
        self.model.active = not self.model.active
        self.real.activate(active=self.model.active)
        if not self.model.active:
            self.model.end_all()

    @invariant()
    def the_latest_access_tokens_hold_as_they_should(self) -> None:
        for number in range(max(0, len(self.access) - 3), len(self.access)):
            should = self.model.access[number] and self.model.active
            assert self.real.holds(self.access[number]) == should, number

    def teardown(self) -> None:
        gc.collect(1)  # nothing else does while a machine plays

    def _show(self, session: Session, number: int) -> None:
        before = self.real.now()
        pair = self.real.show(self._refresh(session, number))
        answered = self.model.show(session, number, self.real.now() if self.real.slack else before)
        assert (pair is None) == (answered is None), (number, answered)
        if pair is not None and answered is not None:
            known = self._known(session)
            if answered == len(known):
                assert pair.refresh not in known
                known.append(pair.refresh)
            assert pair.refresh == known[answered]
            self.access.append(pair.access)

    def _some_token(self, which: int, back: int) -> tuple[Session, int]:
        session = self.model.sessions[-1 - which % len(self.model.sessions)]
        return session, max(0, len(session.tokens) - 1 - back)

    def _known(self, session: Session) -> list[Any]:
        # Two sessions can be equal, so they are found by identity.
        return self.refresh[next(i for i, each in enumerate(self.model.sessions) if each is session)]

    def _refresh(self, session: Session, number: int) -> Any:
        return self._known(session)[number]

    def _step_off_the_edge(self, session: Session, number: int) -> None:
        while self.real.slack and self._is_near_an_edge(session, number):
            self.real.wait(self.real.slack)

    def _is_near_an_edge(self, session: Session, number: int) -> bool:
        now, slack = self.real.now(), self.real.slack
        return len({self.model.verdict(session, number, at) for at in (now - slack, now, now + slack)}) > 1

    def _edges(self) -> list[int]:
        found = []
        for session in self.model.sessions:
            found.append(session.ends)
            for token in session.tokens:
                found.append(token.expires)
                if token.used is not None:
                    found += [token.used + 10 * SECOND, token.used + 300 * SECOND]
        return found
