"""What was found out about the latest texts, without the texts: a digest and a few bytes each. Pure.

Two generations: when the newer one is full it becomes the older, whose texts are forgotten unless they were asked for
again. So at least half of the latest are known, whatever comes.
"""

from hashlib import blake2b
from typing import Final

_DIGEST: Final = 16  # bytes: nobody finds a second text for one


class Remembered:
    """Remembers a few bytes each about so many texts.

    Args:
        most: texts that are remembered.
    """

    def __init__(self, most: int) -> None:
        self._each = max(1, most // 2)
        self._newer: dict[bytes, bytes] = {}
        self._older: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def of(self, text: str) -> bytes | None:
        """What was kept of a text, if it is still known."""
        digest = _digest(text)
        if (known := self._newer.get(digest)) is None and (known := self._older.pop(digest, None)) is not None:
            self._keep(digest, known)
        return known

    def keep(self, text: str, found: bytes) -> None:
        """Remembers what was found out about a text."""
        self._keep(_digest(text), found)

    def _keep(self, digest: bytes, found: bytes) -> None:
        if len(self._newer) >= self._each:
            self._older, self._newer = self._newer, {}
        self._newer[digest] = found


def _digest(text: str) -> bytes:
    """Of any text, lone surrogates included."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST).digest()
