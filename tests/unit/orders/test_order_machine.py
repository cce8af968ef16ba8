"""Any sequence of calls on the nouns alone: orders in memory, against the model that judges the running service too."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.machines.order_machine import Answer, OrderMachine, Subject, cents

from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Address, Order, Status
from shopflow.kit import conditional
from shopflow.kit.answers import STATUSES
from shopflow.kit.problems import Problem, forbidden, not_found
from shopflow.orders import history
from shopflow.orders import order as orders
from shopflow.orders.listing import Asked, narrowed

NOW = datetime(2026, 2, 17, 11, tzinfo=UTC)
AT = "2026-02-17T11:00:00.000Z"
ADDRESS = Address("742 Evergreen Terrace", "Springfield", "IL", "62704", "US")


@dataclass
class Stored:
    """An order, its present state, and its history."""

    order: Order
    status: Status
    entries: list[history.Entry]


class InMemory:
    """Orders in memory; the nouns decide."""

    def __init__(self) -> None:
        self._callers = {
            name: Caller(str(uuid4()), "jane.doe@example.com", Role.CUSTOMER) for name in ("ann", "bob", "cec")
        }
        self._callers["admin"] = Caller(str(uuid4()), "admin@example.com", Role.ADMIN)
        self._callers["service"] = Caller("notification-service", None, Role.SERVICE)
        self._stored: dict[str, Stored] = {}
        self._keys: dict[tuple[str, str], tuple[int, Answer]] = {}
        self._announced: Counter[tuple[str, str]] = Counter()

    def place(self, caller: str, units: int, key: str | None) -> Answer:
        if caller == "service":
            return Answer(403)
        if key is not None and (caller, key) in self._keys:
            asked, answer = self._keys[caller, key]
            return answer if asked == units else Answer(422)
        lines = [orders.line(product_id=str(uuid4()), product_name="A", quantity=units, unit_price=Decimal("49.99"))]
        owner = self._callers[caller]
        order = orders.placed(
            order_id=uuid4(),
            user_id=owner.user_id,
            lines=lines,
            address=ADDRESS,
            currency="USD",
            notes=None,
            created_at=AT,
        )
        entry = history.entry(None, Status.PENDING, caller=owner, trace_id=None, at=NOW)
        self._stored[order.id] = Stored(order, Status.PENDING, [entry])
        self._announced["order.created", order.id] += 1
        answer = Answer(201, id=order.id, states=("pending",), total=cents(order.total_amount))
        if key is not None:
            self._keys[caller, key] = units, answer
        return answer

    def advance(self, caller: str, order_id: str | None, target: str, believed: str | None) -> Answer:
        try:
            if not self._callers[caller].is_admin:
                raise forbidden("Only admins.")
            stored = self._found(order_id)
            if believed is not None:
                tag = believed if believed == "*" else orders.tag(Status(believed))
                conditional.if_match([tag]).demand(orders.tag(stored.status))
            step = orders.step(stored.status, Status(target))
        except Problem as problem:
            return _refused(problem)
        stored.status = step.target
        stored.entries.insert(
            0, history.entry(step.source, step.target, caller=self._callers[caller], trace_id=None, at=NOW)
        )
        if step.announces:
            self._announced["order.shipped", stored.order.id] += 1
        return Answer(200, id=stored.order.id, states=(step.target,))

    def read(self, caller: str, order_id: str | None) -> Answer:
        try:
            stored = self._readable(caller, order_id)
        except Problem as problem:
            return _refused(problem)
        who = self._callers[caller]
        transitions = None if who.is_service else tuple(orders.allowed_transitions(stored.status, who.role))
        return Answer(200, id=stored.order.id, states=(stored.status,), total=cents(stored.order.total_amount),
                      transitions=transitions)  # fmt: skip

    def history(self, caller: str, order_id: str | None) -> Answer:
        if caller == "service":
            return Answer(403)
        try:
            stored = self._readable(caller, order_id)
        except Problem as problem:
            return _refused(problem)
        return Answer(200, states=tuple(each.target for each in history.in_order(stored.entries)))

    def listed(self, caller: str, whose: str | None, state: str | None) -> Answer:
        if caller == "service":
            return Answer(403)
        asked = Asked(user_id=self._callers[whose].id if whose else None)
        try:
            wanted = narrowed(self._callers[caller], Status(state) if state else None, asked)
        except Problem as problem:
            return _refused(problem)
        found = (
            each.order.id
            for each in self._stored.values()
            if UUID(each.order.user_id) == wanted.user_id and wanted.status in {None, each.status}
        )
        return Answer(200, ids=frozenset(found))

    def announced(self) -> Counter[tuple[str, str]]:
        return self._announced

    def _found(self, order_id: str | None) -> Stored:
        if order_id is None:
            raise not_found("order")
        return self._stored[order_id]

    def _readable(self, caller: str, order_id: str | None) -> Stored:
        stored = self._found(order_id)
        if not orders.may_read(self._callers[caller], UUID(stored.order.user_id)):
            raise forbidden("Somebody else's.")
        return stored


class WhereTheOwnerIsForgotten(InMemory):
    """The mistake of many shops: whoever knows an id may read the order."""

    def _readable(self, caller: str, order_id: str | None) -> Stored:  # noqa: ARG002 - that is the mistake
        return self._found(order_id)


class Nouns(OrderMachine):
    def subject(self) -> Subject:
        return InMemory()


@pytest.mark.row("O-3", "O-22")
def test_orders_behave_as_their_model() -> None:
    run_state_machine_as_test(Nouns, settings=settings(max_examples=60, stateful_step_count=40))


def test_the_machine_finds_that_the_owner_is_forgotten() -> None:
    class Broken(OrderMachine):
        def subject(self) -> Subject:
            return WhereTheOwnerIsForgotten()

    quick = settings(max_examples=200, stateful_step_count=40, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=quick)


def _refused(problem: Problem) -> Answer:
    return Answer(STATUSES[problem.kind][0])
