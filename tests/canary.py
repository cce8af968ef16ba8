"""The canary of the whole suite: no secret that a test used shows where none belongs (A17, I10, A-24).

Whatever is sent as a password or as a token is a secret from then on, and so is everything that looks like a token of
ours. At the end of each test its log lines and its refusals, and before a test's database is dropped its columns, must
hold none. Answers to a sign-in and to a refresh hold tokens, since that is what they are for; hashes are no secrets.
"""

import json
import re
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Final, cast

import asyncpg
import structlog

from shopflow.kit.service import Application

TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
"""What a signed token looks like."""

SECRET_FIELDS: Final = ("password", "current_password", "new_password", "refresh_token")
HASHES: Final = {("users", "password_hash")}

_LEAST: Final = 8  # a shorter text appears anywhere by chance
_MOST: Final = 64 * 1024

# Every column that can hold words or bytes; the catalogue itself, since the standard's views take ten times as long.
_COLUMNS: Final = """
SELECT c.relname AS name, a.attname AS column, t.typname AS type
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
   AND t.typname IN ('text', 'varchar', 'jsonb', 'bytea', '_text')
"""


class Canary:
    """What one test has used as secrets, and what it has seen of logs and refusals."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self._seen: list[tuple[str, str]] = []

    def learn(self, secret: object) -> None:
        """From now on this must not be seen."""
        if isinstance(secret, str) and len(secret) >= _LEAST:
            self.secrets.add(secret)

    def see(self, where: str, text: str) -> None:
        """A text in which no secret belongs."""
        self._seen.append((where, text))

    def leaks(self) -> list[str]:
        """Where secrets were seen."""
        return [f"{where}: {text[:500]}" for where, text in self._seen if self.holds_a_secret(text)]

    def holds_a_secret(self, text: str) -> bool:
        """Whether a text holds a token or anything that was used as a secret."""
        return TOKEN.search(text) is not None or any(secret in text for secret in self.secrets)

    def forget(self) -> None:
        """Begins anew; for tests of the canary itself."""
        self._seen.clear()

    def asked(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Learns the secrets of a request."""
        for header, value in headers:
            if header.lower() in {b"authorization", b"x-service-authorization"}:
                self.learn(value.decode("latin-1").partition(" ")[2].strip())
        try:
            fields = json.loads(body) if body else None
        except (ValueError, RecursionError):
            return
        if isinstance(fields, dict):
            for name in SECRET_FIELDS:
                self.learn(fields.get(name))

    async def look_into(self, url: str) -> list[str]:
        """Where a database holds a secret, other than a hash."""
        connection = await asyncpg.connect(url)
        try:
            columns = await connection.fetch(_COLUMNS)
            rows = await connection.fetch(" UNION ALL ".join(_texts(columns)) or "SELECT '', '' WHERE false")
        finally:
            await connection.close()
        return [f"{where}: {text[:300]}" for where, text in rows if self.holds_a_secret(text)]


def _texts(columns: Sequence[asyncpg.Record]) -> Iterator[str]:
    """A statement for each column that answers its name and its texts; bytes as the letters that they are."""
    for name, column, type_ in columns:
        if (name, column) not in HASHES:
            value = f"encode(\"{column}\", 'escape')" if type_ == "bytea" else f'"{column}"::text'
            yield f'SELECT \'{name}.{column}\', {value} FROM "{name}" WHERE "{column}" IS NOT NULL'  # noqa: S608 - our own names


class Watched:
    """An application whose requests teach the canary secrets, and whose refusals it looks at.

    Everything else is the application's own.
    """

    def __init__(self, application: Application, canary: Canary) -> None:
        object.__setattr__(self, "_application", application)
        object.__setattr__(self, "_canary", canary)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._application, name)
        return Watched(found, self._canary) if name == "outside" else found

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._application, name, value)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        asked, answered, status = bytearray(), bytearray(), 0

        async def receiving() -> Any:
            message = await receive()
            if len(asked) < _MOST:
                asked.extend(message.get("body", b""))
            return message

        async def sending(message: Any) -> None:
            nonlocal status
            if "status" in message:  # before the caller knows anything
                status = message["status"]
                self._canary.asked(list(scope.get("headers", ())), bytes(asked))
            if status >= 400 and len(answered) < _MOST:
                answered.extend(b" ".join(each for header in message.get("headers", ()) for each in header))
                answered.extend(message.get("body", b""))
            await send(message)

        try:
            await self._application(scope, receiving, sending)
        finally:
            if answered:
                self._canary.see(f"{status} of {scope.get('path')}", answered.decode("utf-8", "replace"))


def watched(application: Application, canary: Canary) -> Application:
    """The same application, watched."""
    return cast("Application", Watched(application, canary))


def listening(canary: Canary) -> type:
    """A structlog wrapper class that shows each line to the canary, whatever becomes of it then."""
    plain = structlog.make_filtering_bound_logger(0)

    class Listening(plain):  # type: ignore[misc, valid-type]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **line: Any) -> Any:
            canary.see("log", " ".join(_said(event, {**self._context, **line})))
            return super()._proxy_to_logger(method_name, event, *args, **line)

    return Listening


def _said(event: str | None, line: dict[str, Any]) -> Iterator[str]:
    yield str(event)
    for name, value in line.items():
        if name == "exc_info" and isinstance(value, BaseException):
            yield "".join(traceback.format_exception(value))
        else:
            yield f"{name}={value}"
