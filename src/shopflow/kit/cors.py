"""Which web pages may call: the origins that are named, every other one not at all (R68).

Pure: it makes headers. Paths that only services and operators call never come here.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

EXPOSED: Final = ("ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed")
"""What a page's program may read of an answer's headers, beyond those that every answer shows it."""

_ALLOWED_METHODS: Final = b"GET, POST, PATCH, DELETE"
_ALLOWED_HEADERS: Final = b"Authorization, Content-Type, Idempotency-Key, If-Match, traceparent, tracestate"
_SECONDS: Final = b"600"
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """The rules for the pages of these origins, each exactly as browsers send it."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = {origin: origin.encode() for origin in origins}

    def answered(self, origin: str | None) -> Headers:
        """The headers of an answer to a request that names this origin, or none."""
        if not self._origins:
            return []
        if origin not in self._origins:
            return [_VARY]
        return [
            (b"access-control-allow-origin", self._origins[origin]),
            (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
            _VARY,
        ]

    def allowed(self, origin: str | None) -> Headers | None:
        """The headers of the answer to a browser that asks first (a preflight), or None when it is not allowed."""
        if origin not in self._origins:
            return None
        return [
            (b"access-control-allow-origin", self._origins[origin]),
            (b"access-control-allow-methods", _ALLOWED_METHODS),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", _SECONDS),
            _VARY,
        ]
