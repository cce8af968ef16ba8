"""Marks of keys with a few numbers each, in flat memory: what is remembered of 20,000 keys takes no 20,000 objects.

A mark is Python's own salted hash of a key, 64 bits of it: two of 20,000 keys have one mark once in 10^11 windows, and
nobody can choose whose. Places are taken from a key's own on, the next one that is free (linear probing).
"""

from array import array
from typing import Final

_BITS: Final = (1 << 64) - 1
_FIRST: Final = 256  # places: what few keys need is little, and there when memory is short
_FULL: Final = 0.62  # of the places; with more the search for one grows long


class Table:
    """Keys' marks, how often each was counted, and when last, if that is wanted.

    Args:
        most: keys that it takes; when it is full, who asks has to know another way.
        timed: whether moments are kept too.
    """

    __slots__ = ("_last", "_marks", "_most", "_taken", "_timed", "at", "counts")

    def __init__(self, most: int, *, timed: bool = False) -> None:
        self._most = most
        self._timed = timed
        self._taken = 0
        self._lay_out(_FIRST)

    def __len__(self) -> int:
        return self._taken

    def find(self, key: str) -> int | None:
        """The place of a key, if it has one; it holds until the next key is taken in."""
        mark = _mark(key)
        place = self._search(mark)
        return place if self._marks[place] == mark else None

    def place(self, key: str) -> int | None:
        """The place of a key, which gets one if there is room, with a count of 0."""
        mark = _mark(key)
        place = self._search(mark)
        if self._marks[place] != mark:
            if self._taken >= self._most:
                return None
            if self._taken >= _FULL * len(self._marks):
                self._grow()
                place = self._search(mark)
            self._marks[place] = mark
            self._taken += 1
        return place

    def _lay_out(self, places: int) -> None:
        self._marks = array("Q", [0]) * places
        self.counts = array("I", [0]) * places
        self.at = array("d", [0.0]) * (places if self._timed else 0)
        self._last = places - 1

    def _grow(self) -> None:
        """Twice the places: some milliseconds for the last time, when there are ten thousand keys."""
        marks, counts, at = self._marks, self.counts, self.at
        self._lay_out(2 * len(marks))
        for former, mark in enumerate(marks):
            if mark:
                place = self._search(mark)
                self._marks[place], self.counts[place] = mark, counts[former]
                if at:
                    self.at[place] = at[former]

    def _search(self, mark: int) -> int:
        """Where a mark is, or would be."""
        marks, last = self._marks, self._last
        place = mark & last
        while (found := marks[place]) and found != mark:
            place = (place + 1) & last
        return place


def _mark(key: str) -> int:
    return hash(key) & _BITS or 1  # 0 is a place that is free
