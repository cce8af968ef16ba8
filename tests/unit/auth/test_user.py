"""The one form of an e-mail address (R14), and changes to a user."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shopflow.auth.user import Changes, User, normalised_email
from shopflow.contracts.identity import Role

JANE = User(
    id=UUID(int=1),
    email="jane.doe@example.com",
    first_name="Jane",
    last_name="Doe",
    phone="+15551234567",
    role=Role.ADMIN,
    is_active=True,
    created_at=datetime(2026, 2, 17, tzinfo=UTC),
    updated_at=datetime(2026, 2, 17, tzinfo=UTC),
)


@pytest.mark.row("M-5")
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("jane.doe@example.com", "jane.doe@example.com"),
        ("Jane.DOE@Example.COM", "jane.doe@example.com"),
        ("jane@BÜCHER.de", "jane@xn--bcher-kva.de"),
        (f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 63}.com", f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 63}.com"),  # 254
        ("jane@xn--bcher-kva.de", "jane@xn--bcher-kva.de"),
        ("o'brien+shop@example.com", "o'brien+shop@example.com"),
        ("jane@shop.test", "jane@shop.test"),
        ("jane@shop.local", "jane@shop.local"),
        ("jane@shop.example", "jane@shop.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_stored_in_its_one_form(text: str, stored: str) -> None:
    assert normalised_email(text) == stored


@pytest.mark.row("M-5")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "jane",
        "jane@",
        "@example.com",
        "jane@example",
        "jane@@example.com",
        " jane@example.com",
        "jane@example.com ",
        "jane doe@example.com",
        "jane..doe@example.com",
        ".jane@example.com",
        "jane@-example.com",
        "jane@exa_mple.com",
        "jäne@example.com",
        '"jane"@example.com',
        "jane@[127.0.0.1]",
        "Jane <jane@example.com>",
        "jane@example.com\n",
        "jane\x00@example.com",
        "jane@example.com,joe@example.com",
        "a" * 65 + "@example.com",
        f"{'a' * 64}@{'b' * 61}.{'c' * 60}.{'d' * 63}.com",  # 255
        "jane@example.com.",
        "a@" + "b" * 64 + ".com",
        "a" * 64 + "@" + ".".join(["b" * 60] * 4) + ".com",
        "a@" + "ü" * 60 + "." + "ü" * 60 + ".com",
    ],
)
def test_what_is_no_address_has_no_form(text: str) -> None:
    assert normalised_email(text) is None


def test_changes_touch_only_what_they_name() -> None:
    assert Changes().applied_to(JANE) == JANE
    changed = Changes(first_name="Janet", phone=None).applied_to(JANE)
    assert (changed.first_name, changed.last_name, changed.phone) == ("Janet", "Doe", None)


def test_only_role_and_activity_are_for_admins_to_change() -> None:
    assert not Changes(first_name="a", last_name="b", phone=None).touch_standing
    assert Changes(role=Role.CUSTOMER).touch_standing
    assert Changes(is_active=False).touch_standing


def test_an_admin_governs_while_active() -> None:
    assert JANE.governs
    assert not Changes(is_active=False).applied_to(JANE).governs
    assert not Changes(role=Role.CUSTOMER).applied_to(JANE).governs
