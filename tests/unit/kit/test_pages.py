"""Cursors: what was made for a list is read again, and nothing else is."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.pages import LONGEST_CURSOR, Position, cursor, resumed, stretch
from shopflow.kit.problems import Kind, Problem

WAY = "orders created_at desc user=7"
END = Position("2026-02-17T11:00:00.000001+00:00", UUID("b2c3d4e5-f6a7-8901-bcde-f12345678901"))


def refused(text: str, way: str = WAY) -> bool:
    """Whether a text is refused in the one way there is."""
    try:
        resumed(text, way=way)
    except Problem as problem:
        return (problem.kind, [error.field for error in problem.errors]) == (Kind.INVALID, ["cursor"])
    return False


@given(st.text(max_size=40), st.text(max_size=100), st.uuids())
def test_a_cursor_brings_back_its_position_and_fits_into_a_url(way: str, value: str, id_: UUID) -> None:
    text = cursor(way, Position(value, id_))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    if len(text) <= LONGEST_CURSOR:
        assert resumed(text, way=way) == Position(value, id_)


def test_the_empty_cursor_begins_and_the_last_stretch_has_none() -> None:
    assert resumed("", way=WAY) is None
    assert stretch([1], way=WAY, end=None).next_cursor is None
    assert stretch([1], way=WAY, end=END).next_cursor == cursor(WAY, END)


def test_a_cursor_of_another_list_is_refused() -> None:
    assert refused(cursor(WAY, END), way="orders created_at asc user=7")
    assert refused(cursor(WAY, END), way=f"{WAY} ")


@given(st.data())
def test_a_cursor_with_any_character_changed_dropped_or_added_is_refused(data: st.DataObject) -> None:
    text = cursor(WAY, END)
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.characters() | st.sampled_from("AB_-=+/ "))
    for changed in (text[:at] + put + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + put + text[at:]):
        assert changed == text or refused(changed)


@pytest.mark.parametrize("text", ["x", "====", "\u00e9", "A" * 16, "A" * 10_000, " ", "\x00", cursor(WAY, END) + "=="])
def test_what_no_answer_held_is_refused(text: str) -> None:
    assert refused(text)


@given(st.text(max_size=60))
def test_no_text_brings_anything_but_a_refusal(text: str) -> None:
    assert not text or refused(text)
