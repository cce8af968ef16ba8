"""A token that may be renewed while the process runs: a fixed text, or a file that is read again on change (R8)."""

from pathlib import Path

from shopflow.kit.problems import unauthenticated


class Credential:
    """A bearer token from a variable or from a mounted file; the file wins where both are given."""

    def __init__(self, text: str | None, path: Path | None = None) -> None:
        self._text = text
        self._path = path
        self._seen: tuple[int, int] | None = None

    def token(self) -> str | None:
        """The token as it is now. A file that holds none just now leaves the last token in force."""
        if self._path is not None:
            self._refresh(self._path)
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

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._seen:
                text = path.read_text(encoding="ascii").strip()
                self._text = text if text.isprintable() and text else self._text
                self._seen = version
        except (OSError, UnicodeDecodeError):
            return
