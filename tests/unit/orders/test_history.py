"""The order of history, and what its readers see."""

from datetime import UTC, datetime
from random import Random

import msgspec

from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Status
from shopflow.orders.bodies import Passage, PassageForAdmins
from shopflow.orders.history import entry, in_order

AT = datetime(2026, 2, 17, 14, 0, 0, 999, tzinfo=UTC)
ADMIN = Caller("a1b2c3d4-e5f6-7890-abcd-ef1234567890", "jane.doe@example.com", Role.ADMIN)


def test_entries_of_the_same_instant_still_come_in_the_order_of_the_states() -> None:
    life = list(Status)
    entries = [
        entry(source, target, caller=ADMIN, trace_id=None, at=AT)
        for source, target in zip([None, *life], life, strict=False)
    ]
    shuffled = Random(1).sample(entries, len(entries))  # noqa: S311
    assert [each.target for each in in_order(shuffled)] == life


def test_an_owner_sees_states_role_and_time_and_an_admin_also_who_and_why() -> None:
    made = entry(Status.PENDING, Status.CONFIRMED, caller=ADMIN, trace_id="0af7", at=AT, reason="paid")
    seen = {"from": "pending", "to": "confirmed", "role": "admin", "at": "2026-02-17T14:00:00.000Z"}
    assert msgspec.to_builtins(Passage.of(made)) == seen
    known = {"actor_id": ADMIN.id, "reason": "paid", "trace_id": "0af7"}
    assert msgspec.to_builtins(PassageForAdmins.of(made)) == seen | known
