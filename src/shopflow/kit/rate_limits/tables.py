"""Marks of keys with a few numbers each, in flat memory: what is remembered of 20,000 keys takes no 20,000 objects.

A mark is Python's own salted hash of a key, 64 bits of it: two of 20,000 keys have one mark once in 10^11 windows, and
nobody can choose whose. Places are taken from a key's own on, the next one that is free (linear probing).
"""

from array import array
from typing import Final

_BITS: Final = (1 << 64) - 1
_ROOM: Final = 1.6  # places for one key: with fewer free ones the search for a place grows long


class Table:
    """Keys' marks, and how often each was counted; it takes the same memory empty and full.

    Args:
        most: keys that it takes; when it is full, who asks has to know another way.
    """

    __slots__ = ("_last", "_marks", "_most", "_taken", "counts")

    def __init__(self, most: int) -> None:
        places = 1 << int(most * _ROOM).bit_length()
        self._most = most
        self._last = places - 1
        self._taken = 0
        self._marks = array("Q", [0]) * places
        self.counts = array("I", [0]) * places

    def __len__(self) -> int:
        return self._taken

    @property
    def is_full(self) -> bool:
        """Whether no other key is taken in."""
        return self._taken >= self._most

    def find(self, key: str) -> int | None:
        """The place of a key, if it has one."""
        place, mark = self._search(key)
        return place if self._marks[place] == mark else None

    def place(self, key: str) -> int | None:
        """The place of a key, which gets one if there is room, with a count of 0."""
        place, mark = self._search(key)
        if self._marks[place] != mark:
            if self.is_full:
                return None
            self._marks[place] = mark
            self._taken += 1
        return place

    def _search(self, key: str) -> tuple[int, int]:
        """Where a key is, or would be; and its mark."""
        mark = hash(key) & _BITS or 1  # 0 is a place that is free
        place, marks, last = mark & self._last, self._marks, self._last
        while (found := marks[place]) and found != mark:
            place = (place + 1) & last
        return place, mark
