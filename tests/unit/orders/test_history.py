"""The order of history, and what its readers see."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Status
from shopflow.orders.bodies import Passage, PassageForAdmins
from shopflow.orders.history import START, Entry, entry, in_order, sealed

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


ORDER = UUID("b2c3d4e5-f6a7-8901-bcde-f12345678901")
MADE = entry(Status.PENDING, Status.CONFIRMED, caller=ADMIN, trace_id="0af7", at=AT, reason="paid")


def test_the_seal_of_an_entry_never_changes_its_form() -> None:
    """What is stored was sealed like this: another form would break every chain."""
    assert sealed(START, ORDER, MADE).hex() == "39ce54a214051465680d756b38593019704a80dcd779727888537eac9ab1e48f"


@pytest.mark.parametrize(
    "other",
    [
        replace(MADE, source=None),
        replace(MADE, target=Status.SHIPPED),
        replace(MADE, actor_id="b"),
        replace(MADE, actor_role="customer"),
        replace(MADE, reason=None),
        replace(MADE, reason=""),
        replace(MADE, reason="pai", trace_id="d0af7"),
        replace(MADE, reason="paid0", trace_id="af7"),
        replace(MADE, trace_id=None),
        replace(MADE, reason=None, trace_id="paid"),
        replace(MADE, at=AT + timedelta(microseconds=1)),
    ],
)
def test_every_field_of_an_entry_is_sealed(other: Entry) -> None:
    assert sealed(START, ORDER, other) != sealed(START, ORDER, MADE)


def test_the_order_and_the_entry_before_are_sealed_too() -> None:
    assert len({sealed(START, ORDER, MADE), sealed(b"x" * 32, ORDER, MADE), sealed(START, UUID(int=0), MADE)}) == 3


texts = st.text(alphabet="ab\0\1\x04", max_size=6)
entries = st.builds(
    Entry,
    source=st.none() | st.sampled_from(Status),
    target=st.sampled_from(Status),
    actor_id=texts,
    actor_role=texts,
    reason=st.none() | texts,
    trace_id=st.none() | texts,
    at=st.datetimes(timezones=st.just(UTC)),
)


@given(entries, entries)
def test_two_entries_share_a_seal_only_when_they_are_equal(one: Entry, other: Entry) -> None:
    assert (sealed(START, ORDER, one) == sealed(START, ORDER, other)) == (one == other)
