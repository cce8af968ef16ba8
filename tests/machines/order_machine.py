"""Any sequence of calls by three users, an admin and a service, on a subject and on the model side by side (O-22)."""

import gc
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.machines.order_model import EVERYBODY, LIFE, PEOPLE, Model

CALLERS: Final = some.sampled_from((*EVERYBODY, "admin", "admin"))
STATES: Final = some.sampled_from(LIFE)
WHICH: Final = some.integers(0, 5)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: as HTTP says it.
        id: of the order, where one is answered.
        states: the state it is in; of a history, all of them in order.
        total: the total amount, where it is answered, in cents.
        transitions: the states to which the caller may bring it; None where they are not told.
        ids: of a list.
    """

    status: int
    id: str | None = None
    states: tuple[str, ...] = ()
    total: int | None = None
    transitions: tuple[str, ...] | None = None
    ids: frozenset[str] = frozenset()


class Subject(Protocol):
    """Orders as they really are, and five callers by name. An id of None is one that no order has."""

    def place(self, caller: str, units: int, key: str | None) -> Answer: ...
    def advance(self, caller: str, order_id: str | None, target: str, believed: str | None) -> Answer: ...
    def read(self, caller: str, order_id: str | None) -> Answer: ...
    def history(self, caller: str, order_id: str | None) -> Answer: ...
    def listed(self, caller: str, whose: str | None, state: str | None) -> Answer: ...
    def announced(self) -> Counter[tuple[str, str]]: ...


class OrderMachine(RuleBasedStateMachine):
    """Give it a subject by overriding `subject`."""

    def subject(self) -> Subject:
        """A fresh subject: no orders."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.real = self.subject()
        self.model = Model()
        self.ids: list[str] = []

    @rule(caller=CALLERS, units=some.integers(1, 3), key=some.sampled_from((None, None, "a", "b")))
    def place(self, caller: str, units: int, key: str | None) -> None:
        status, number = self.model.place(caller, units, key)
        answer = self.real.place(caller, units, key)
        assert answer.status == status
        if number is not None and answer.id is not None:
            if number == len(self.ids):
                assert answer.id not in self.ids
                self.ids.append(answer.id)
            assert (answer.id, answer.states, answer.total) == (self.ids[number], ("pending",), units * 4999)

    @rule(caller=CALLERS, which=WHICH, wanted=STATES, believed=some.sampled_from((None, None, "*", *LIFE)))
    def advance(self, caller: str, which: int, wanted: str, believed: str | None) -> None:
        number, order_id = self._order(which)
        answer = self.real.advance(caller, order_id, wanted, believed)
        assert answer.status == self.model.advance(caller, number, wanted, believed)
        assert answer.states == ((wanted,) if answer.status == 200 else ())

    @precondition(lambda self: self.ids)
    @rule(which=WHICH, steps=some.integers(1, 3))
    def ship(self, which: int, steps: int) -> None:
        """An order goes on its way, which dice alone seldom bring about."""
        number = which % len(self.ids)
        for _ in range(steps):
            target = LIFE[min(self.model.orders[number].reached + 1, 3)]
            assert self.real.advance("admin", self.ids[number], target, None).status == self.model.advance(
                "admin", number, target, None
            )

    @rule(caller=CALLERS, which=WHICH)
    def read(self, caller: str, which: int) -> None:
        number, order_id = self._order(which)
        answer = self.real.read(caller, order_id)
        assert answer.status == self.model.read(caller, number)
        if answer.status == 200 and number is not None:
            order = self.model.orders[number]
            following = LIFE[order.reached + 1 : order.reached + 2] if caller == "admin" else ()
            assert (answer.id, answer.states, answer.total) == (order_id, (LIFE[order.reached],), order.units * 4999)
            assert answer.transitions == (None if caller == "service" else following)

    @rule(caller=CALLERS, which=WHICH)
    def history(self, caller: str, which: int) -> None:
        number, order_id = self._order(which)
        answer = self.real.history(caller, order_id)
        assert answer.status == self.model.history(caller, number)
        if answer.status == 200 and number is not None:
            assert answer.states == LIFE[: self.model.orders[number].reached + 1]

    @rule(caller=CALLERS, whose=some.sampled_from((None, None, *PEOPLE)), state=some.sampled_from((None, *LIFE)))
    def listed(self, caller: str, whose: str | None, state: str | None) -> None:
        answer = self.real.listed(caller, whose, state)
        status, numbers = self.model.listed(caller, whose, state)
        assert (answer.status, answer.ids) == (status, frozenset(self.ids[number] for number in numbers))

    def teardown(self) -> None:
        """Each order was announced once, and each that was shipped once more (I1)."""
        gc.collect(1)  # nothing else does while a machine plays
        if hasattr(self, "real"):
            shipped = [self.ids[number] for number, each in enumerate(self.model.orders) if each.reached >= 2]
            expected = Counter({("order.created", each): 1 for each in self.ids})
            assert self.real.announced() == expected + Counter({("order.shipped", each): 1 for each in shipped})

    def _order(self, which: int) -> tuple[int | None, str | None]:
        """One of the orders, or one that there is not."""
        number = which if which < len(self.ids) else None
        return number, None if number is None else self.ids[number]


def cents(amount: Any) -> int:
    """An amount of a JSON answer in whole cents."""
    return round(float(amount) * 100)
