"""A token that may be renewed while the process runs: a fixed text, or a file that is read again on change (R8)."""

from pathlib import Path


class Credential:
    """A bearer token from a variable or from a mounted file; the file wins where both are given."""

    def __init__(self, text: str | None, path: Path | None = None) -> None:
        self._text = text
        self._path = path
        self._seen: tuple[int, int] | None = None

    def token(self) -> str | None:
        """The token as it is now. A file that cannot be read just now leaves the last token in force."""
        if self._path is not None:
            self._refresh(self._path)
        return self._text

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._seen:
                self._text = path.read_text().strip() or self._text
                self._seen = version
        except OSError:
            return
