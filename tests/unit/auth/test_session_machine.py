"""Any sequence of what can happen to sessions, on the nouns and on a model; the clock is exact to the microsecond.

Rows are kept in memory here, as `refresh` and `sign_in` keep them in the database; the same machine drives the running
service in tests/service/auth.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.machines.session_machine import Pair, SessionMachine, Subject

from shopflow.auth.bodies import token_pair
from shopflow.auth.family import LIFETIME, Link, Repeat, Reuse, Rotate, judge, link
from shopflow.auth.tokens import RefreshClaims, Tokens, issue_time
from shopflow.auth.tokens import judge as judge_access
from shopflow.auth.user import User
from shopflow.contracts.identity import Role
from shopflow.kit.problems import Problem

START = datetime(2026, 2, 17, 10, 30, tzinfo=UTC)
SECRET = "a secret of more than thirty-two bytes"


class InMemory:
    """One user's rows, and the nouns that decide about them."""

    slack = 0

    def __init__(self) -> None:
        self._clock = START
        self._tokens = Tokens(SECRET)
        self._user = User(
            id=uuid4(), email="jane.doe@example.com", first_name="Jane", last_name="Doe", phone=None,
            role=Role.CUSTOMER, is_active=True, created_at=START, updated_at=START,
        )  # fmt: skip
        self._active = True
        self._links: dict[UUID, list[Link]] = {}
        self._ends: dict[UUID, datetime] = {}
        self._over: set[UUID] = set()
        self._ended_until: int | None = None

    def now(self) -> int:
        return (self._clock - START) // timedelta(microseconds=1)

    def wait(self, microseconds: int) -> None:
        self._clock += timedelta(microseconds=microseconds)

    def sign_in(self) -> Pair | None:
        if not self._active:
            return None
        family = uuid4()
        self._ends[family] = self._clock.replace(microsecond=0) + LIFETIME
        self._links[family] = [link(1, jti=uuid4(), now=self._clock, ends_at=self._ends[family])]
        return self._pair(family, self._links[family][0])

    def show(self, refresh: str) -> Pair | None:
        claims = self._tokens.read_refresh(refresh)
        links = self._links[claims.family]
        if not self._goes_on(claims):
            return None
        shown, child = links[claims.sequence - 1], next(iter(links[claims.sequence :]), None)
        match judge(shown, child=child, newest=links[-1], now=self._clock):
            case Rotate():
                links[-1] = msgspec.structs.replace(shown, first_used_at=self._clock)
                links.append(link(len(links) + 1, jti=uuid4(), now=self._clock, ends_at=self._ends[claims.family]))
                return self._pair(claims.family, links[-1])
            case Repeat(follower):
                self._repeated(claims)
                return self._pair(claims.family, follower)
            case Reuse():
                self._over.add(claims.family)
                self._end_access()
        return None

    def sign_out(self, refresh: str, *, everywhere: bool) -> None:
        claims = self._tokens.read_refresh(refresh)
        if self._goes_on(claims) and self._links[claims.family][claims.sequence - 1].expires_at > self._clock:
            self._over |= set(self._links) if everywhere else {claims.family}
            if everywhere:
                self._end_access()

    def activate(self, *, active: bool) -> None:
        self._active = active
        if not active:
            self._over |= set(self._links)
            self._end_access()

    def holds(self, access: Any) -> bool:
        text, given = access
        try:
            # An hour is not what this machine is about: each token is judged as if it were new.
            judge_access(self._tokens.read(text), now=given, ended_until=self._ended_until)
        except Problem:
            return False
        return self._active

    def _repeated(self, claims: RefreshClaims) -> None:
        """Nothing changes: both windows count from the first use."""

    def _goes_on(self, claims: RefreshClaims) -> bool:
        return self._active and claims.family not in self._over and self._ends[claims.family] > self._clock

    def _end_access(self) -> None:
        now = int(self._clock.timestamp())
        self._ended_until = now if self._ended_until is None else max(now, self._ended_until + 1)

    def _pair(self, family: UUID, follower: Link) -> Pair:
        issued = issue_time(self._clock, self._ended_until)
        pair = token_pair(self._tokens, self._user, family, follower, issued=issued)
        return Pair((pair.access_token, self._clock.timestamp()), pair.refresh_token)


class WithAMovingWindow(InMemory):
    """The mistake that let a stolen token work for ever: each reuse begins the tolerance anew."""

    def _repeated(self, claims: RefreshClaims) -> None:
        links = self._links[claims.family]
        links[claims.sequence - 1] = msgspec.structs.replace(links[claims.sequence - 1], first_used_at=self._clock)


class Nouns(SessionMachine):
    def subject(self) -> Subject:
        return InMemory()


@pytest.mark.row("A-9", "A-10", "A-11")
def test_sessions_behave_as_their_model_to_the_microsecond() -> None:
    run_state_machine_as_test(Nouns, settings=settings(max_examples=40, stateful_step_count=40))


def test_the_machine_finds_a_window_that_moves() -> None:
    class Broken(SessionMachine):
        def subject(self) -> Subject:
            return WithAMovingWindow()

    quick = settings(max_examples=200, stateful_step_count=40, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=quick)
