"""Whose orders a list holds, and what its texts mean."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.contracts.identity import Caller, Role
from shopflow.contracts.orders import Status
from shopflow.kit.problems import Kind, Problem
from shopflow.orders.listing import Asked, Filter, id_bounds, narrowed

SELF = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
OTHER = UUID("00000000-0000-0000-0000-000000000001")
CUSTOMER = Caller(str(SELF), "jane.doe@example.com", Role.CUSTOMER)
ADMIN = Caller(str(SELF), "jane.doe@example.com", Role.ADMIN)


def test_everybody_lists_their_own_orders_admins_included() -> None:
    for caller in (CUSTOMER, ADMIN):
        assert narrowed(caller, Status.PENDING, Asked()) == Filter(user_id=SELF, status=Status.PENDING)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(user_id=str(SELF)),
        Asked(scope="all"),
        Asked(scope="nonsense"),
        Asked(id_prefix="a"),
        Asked(created_from="2026-02-17T11:00:00Z"),
        Asked(created_to=""),
    ],
)
def test_a_customer_may_not_ask_for_what_only_admins_may(asked: Asked) -> None:
    with pytest.raises(Problem) as caught:
        narrowed(CUSTOMER, None, asked)
    assert caught.value.kind is Kind.FORBIDDEN


def test_an_admin_lists_another_users_orders_or_everybodys() -> None:
    assert narrowed(ADMIN, None, Asked(user_id=str(OTHER))) == Filter(user_id=OTHER)
    assert narrowed(ADMIN, None, Asked(scope="all")) == Filter()
    assert narrowed(ADMIN, None, Asked(user_id=str(OTHER), scope="all")) == Filter(user_id=OTHER)


def test_an_admin_narrows_by_creation_and_by_the_beginning_of_the_id() -> None:
    asked = Asked(
        scope="all", id_prefix="b2c3d4e5", created_from="2026-02-17T12:00:00+01:00", created_to="2026-02-18T00:00:00Z"
    )
    assert narrowed(ADMIN, None, asked) == Filter(
        id_first=UUID("b2c3d4e5-0000-0000-0000-000000000000"),
        id_last=UUID("b2c3d4e5-ffff-ffff-ffff-ffffffffffff"),
        created_from=datetime(2026, 2, 17, 11, tzinfo=UTC),
        created_before=datetime(2026, 2, 18, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Asked(user_id="me"), "user_id"),
        (Asked(user_id=""), "user_id"),
        (Asked(scope="mine"), "scope"),
        (Asked(id_prefix=""), "id_prefix"),
        (Asked(id_prefix="b2c3d4e5f"), "id_prefix"),
        (Asked(id_prefix="g"), "id_prefix"),
        (Asked(id_prefix="\u0661"), "id_prefix"),
        (Asked(id_prefix=f"{SELF}0"), "id_prefix"),
        (Asked(created_from="yesterday"), "created_from"),
        (Asked(created_from="2026-02-17T11:00:00"), "created_from"),
        (Asked(created_from="0001-01-01T00:00:00+14:00"), "created_from"),
        (Asked(created_to="9999-12-31T23:59:59-14:00"), "created_to"),
    ],
)
def test_texts_that_name_nothing_are_refused_by_field(asked: Asked, field: str) -> None:
    with pytest.raises(Problem) as caught:
        narrowed(ADMIN, None, asked)
    assert caught.value.kind is Kind.INVALID
    assert [error.field for error in caught.value.errors] == [field]


@given(st.uuids(), st.uuids(), st.integers(1, 36))
def test_the_bounds_of_a_prefix_hold_exactly_the_ids_that_begin_with_it(one: UUID, other: UUID, length: int) -> None:
    prefix = str(one)[:length]
    first, last = id_bounds(prefix)
    assert first <= one <= last
    assert (first <= other <= last) == str(other).startswith(prefix)
