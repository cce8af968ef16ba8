"""Passwords: each rule at its bound (R15), and bcrypt's limit of 72 bytes (A7)."""

import pytest

from shopflow.auth.passwords import broken_rules, hashed, is_weaker, matches, unmatched

GOOD = "S3cur3P@ssw0rd!"


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "Aa1!Aa1!",
        "Aa1!" + "x" * 68,
        "Aa1 xxx§",
        "Ää1!ßßßß",
        "Aa1€😀😀😀😀",
        "Aa1_Aa1_",
        "Aa1!" + "é" * 34,
    ],
)
@pytest.mark.row("A-12")
def test_a_good_password_breaks_no_rule(password: str) -> None:
    assert broken_rules(password) == []


@pytest.mark.parametrize(
    ("password", "broken"),
    [
        ("Aa1!Aa1", "must have at least 8 characters"),
        ("Aa1!" + "x" * 69, "must have at most 72 bytes in UTF-8"),
        ("Aa1!" + "é" * 34 + "x", "must have at most 72 bytes in UTF-8"),
        ("aaaa111!", "must have an upper-case letter"),
        ("AAAA111!", "must have a lower-case letter"),
        ("AAAAaaa!", "must have a digit"),
        ("AAAAaaa1", "must have a special character"),
        ("AAAA aa1", "must have a special character"),
        ("AAAA\taa1", "must have a special character"),
        ("S3cur3P@ss\0", "must not have NUL characters or lone surrogates"),
        ("S3cur3P@ss\ud800", "must not have NUL characters or lone surrogates"),
    ],
)
@pytest.mark.row("A-12")
def test_each_broken_rule_is_named(password: str, broken: str) -> None:
    assert broken_rules(password) == [broken]


@pytest.mark.row("A-12")
def test_all_broken_rules_are_named_at_once() -> None:
    assert len(broken_rules("        ")) == 4
    assert len(broken_rules("")) == 5


def test_a_hash_matches_its_password_only() -> None:
    stored = hashed(GOOD, 4)
    assert stored.startswith("$2b$04$")
    assert matches(GOOD, stored)
    assert not matches(GOOD + "x", stored)


def test_a_password_beyond_72_bytes_never_matches_and_never_raises() -> None:
    stored = hashed("x" * 72, 4)
    assert matches("x" * 72, stored)
    assert not matches("x" * 73, stored)
    assert not matches("é" * 5000, stored)


def test_the_dummy_hash_has_the_cost_in_force_and_matches_nothing() -> None:
    dummy = unmatched(5)
    assert dummy.startswith("$2b$05$")
    assert len(dummy) == 60
    assert not matches(GOOD, dummy)
    assert not matches("", dummy)


def test_a_hash_of_lower_cost_is_weaker() -> None:
    assert is_weaker(hashed(GOOD, 4), 5)
    assert not is_weaker(hashed(GOOD, 5), 5)
    assert not is_weaker(hashed(GOOD, 5), 4)
