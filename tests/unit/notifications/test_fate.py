"""What became of an event, from its record and the message that was parked about it."""

from uuid import UUID

import pytest

from shopflow.notifications.fate import Fate, Letter, Record, judged

ID = UUID(int=7)


def record(queued: int, *, recent: bool = False) -> Record:
    return Record(ID, queued, recent)


def letter(state: str, *, recent: bool = False) -> Letter:
    return Letter(ID, state, "provider_failed", recent)


@pytest.mark.parametrize(
    ("on_record", "parked", "fate"),
    [
        (None, None, Fate.UNHEARD),
        (record(0), None, Fate.SETTLED),
        (record(0), letter("open"), Fate.SETTLED),
        (record(1), None, Fate.UNFINISHED),
        (record(2, recent=True), None, Fate.UNDER_WAY),
        (None, letter("open"), Fate.PARKED),
        (None, letter("open", recent=True), Fate.PARKED),
        (record(1, recent=True), letter("open"), Fate.PARKED),
        (None, letter("discarded"), Fate.SETTLED),
        (None, letter("replayed", recent=True), Fate.UNDER_WAY),
        (None, letter("replayed"), Fate.UNHEARD),
        (record(1), letter("replayed"), Fate.UNFINISHED),
        (record(1, recent=True), letter("replayed"), Fate.UNDER_WAY),
    ],
)
def test_an_event_is_judged_by_its_record_first(on_record: Record | None, parked: Letter | None, fate: Fate) -> None:
    assert judged(on_record, parked) is fate
