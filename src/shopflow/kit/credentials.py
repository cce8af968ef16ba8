"""A token that may be renewed while the process runs: a fixed text, or a file that is read again on change (R8).

It knows when its token expires, and says so in time. That is read from the token unverified: nothing rests on it.
"""

from base64 import urlsafe_b64decode
from collections.abc import Callable
from math import nan
from pathlib import Path
from time import time
from typing import Final

import msgspec

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.problems import unauthenticated

SOON: Final = 3600.0
"""Seconds before its end from which on a token is complained about, once in as many seconds."""


class Credential:
    """A bearer token from a variable or from a mounted file; the file wins where both are given.

    Args:
        text: the token, if the variable holds it.
        path: the file that holds it.
        name: its variable, for the log and the metric.
        metrics: where the rest of its life shows.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        text: str | None,
        path: Path | None = None,
        *,
        name: str = "token",
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._text = text
        self._path = path
        self._name = name
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._expires = _expiry(text)
        self._complained = 0.0
        if metrics:
            metrics.gauge(
                "service_token_seconds", "Seconds until a service token expires; not a number without one.", ("token",)
            ).labels(name).set_function(self.seconds_left)

    def token(self) -> str | None:
        """The token as it is now. A file that holds none just now leaves the last token in force."""
        if self._path is not None:
            self._refresh(self._path)
        self._complain()
        return self._text

    def bearer(self) -> str:
        """The Authorization header that shows the token.

        Raises:
            Problem: unauthenticated, when there is none: a matter of configuration, as a refused one is.
        """
        token = self.token()
        if token is None:
            raise unauthenticated("service-token-missing", "This service has no token of its own.")
        return f"Bearer {token}"

    def renewed(self) -> bool:
        """Reads the file although it looks unchanged, for a token that was refused; whether it holds another one."""
        refused, self._seen = self._text, None
        return self.token() != refused

    def seconds_left(self) -> float:
        """Seconds until the token expires, below zero afterwards; not a number where there is none that says so."""
        self.token()
        return nan if self._expires is None else self._expires - self._clock()

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._seen:
                text = path.read_text(encoding="ascii").strip()
                if text and text.isprintable():
                    self._text, self._expires = text, _expiry(text)
                self._seen = version
        except (OSError, UnicodeDecodeError):
            return

    def _complain(self) -> None:
        if self._expires is None:
            return
        now = self._clock()
        if self._expires - now < SOON <= abs(now - self._complained):
            self._complained = now
            logs.logger("credentials").warning(
                "service_token_expires", token=self._name, seconds=round(self._expires - now)
            )


class _Claims(msgspec.Struct, frozen=True):
    exp: int


def _expiry(token: str | None) -> int | None:
    """When a token says it expires, in seconds since 1970."""
    try:
        payload = (token or "").split(".")[1]
        return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).exp
    except (IndexError, ValueError, msgspec.MsgspecError):
        return None
