"""`shopflow audit verify`: whether the histories of orders are what was written."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from uuid import UUID

import msgspec
from cyclopts import Parameter

if TYPE_CHECKING:
    from shopflow.orders.audit import Rule
    from shopflow.orders.verify import Verdict

SETTLED: Final = timedelta(minutes=1)
"""How old an entry must be to count for the digest, unless --until says more: by then it is committed everywhere."""

_SAY_EVERY: Final = 2.0


def verify(
    *,
    until: Annotated[str | None, Parameter(help="Entries up to this instant (RFC 3339) count for the digest.")] = None,
    expect: Annotated[str | None, Parameter(help="The digest that a run with the same --until printed before.")] = None,
    json: Annotated[bool, Parameter(help="One JSON object a line: each break, then the verdict.", negative="")] = False,
) -> None:
    """Recompute the hash chain of every order's history, and compare it with what the order says.

    Prints each break by order and rule, and a digest over the last entries of all chains. Keep that line where nobody
    who can write to the database can: with --until and --expect, a later run tells whether anything before that instant
    was rewritten, however thoroughly. Reads DATABASE_URL (or DATABASE_URL_FILE) of order-service, which may go on
    meanwhile. Exit status: 0 when all is as it was written, 1 when something is broken, 2 when something given is
    wrong, 3 when the database cannot be read, so that nothing is known.
    """
    if expect is not None and (until is None or re.fullmatch(r"[0-9a-f]{64}", expect) is None):
        _end("--expect takes the 64 digits of a digest, together with its --until", 2)
    moment = _moment(until)
    report = _Report(as_json=json)
    verdict = _verified(moment, report)
    as_expected = expect is None or verdict.digest == expect
    report.verdict(verdict, as_expected=as_expected)
    raise SystemExit(0 if as_expected and not verdict.broken else 1)


class _Report:
    """What is said on standard output, and on standard error while it takes time."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._said = monotonic()

    def found(self, order_id: UUID, rule: "Rule") -> None:
        """One broken rule of one order."""
        self._say({"order_id": str(order_id), "rule": rule}, f"{order_id} {rule}")

    def progress(self, orders: int, share: float) -> None:
        """Every two seconds how far it is."""
        if monotonic() - self._said >= _SAY_EVERY:
            self._said = monotonic()
            sys.stderr.write(f"{orders:,} orders, about {share:.0%}\n")

    def verdict(self, verdict: "Verdict", *, as_expected: bool) -> None:
        """The end, with the line to keep."""
        until = verdict.until.isoformat().replace("+00:00", "Z")
        ok = as_expected and not verdict.broken
        lines = [
            f"{verdict.orders:,} orders, {verdict.entries:,} entries: {verdict.broken or 'nothing'} broken",
            *(
                []
                if as_expected
                else ["the digest is not the expected one: entries of before were changed or are gone"]
            ),
            f"keep: shopflow audit verify --until {until} --expect {verdict.digest}",
        ]
        told = {"orders": verdict.orders, "entries": verdict.entries, "broken": verdict.broken, "until": until}
        self._say(told | {"digest": verdict.digest, "as_expected": as_expected, "ok": ok}, "\n".join(lines))

    def _say(self, told: dict[str, Any], text: str) -> None:
        print(msgspec.json.encode(told).decode() if self._as_json else text)


def _verified(until: datetime, report: _Report) -> "Verdict":
    from shopflow.cli.environment import database_url
    from shopflow.kit import logs
    from shopflow.kit.postgres import Database
    from shopflow.kit.problems import Problem
    from shopflow.orders.verify import NotChained, verify

    logs.configure(service="cli", level="error", to=sys.stderr)
    database = Database(database_url(os.environ), size=1)

    async def run() -> "Verdict":
        await database.open()
        try:
            return await verify(database, until=until, found=report.found, progress=report.progress)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        _end(problem.detail, 3)
    except NotChained:
        _end("This is not the database of order-service, or it is not migrated: shopflow migrate orders", 3)


def _moment(text: str | None) -> datetime:
    from shopflow.contracts.fields import instant

    if text is None:
        return datetime.now(UTC) - SETTLED
    try:
        return instant(text)
    except ValueError:
        _end("--until must be an RFC 3339 timestamp with an offset", 2)


def _end(why: str, status: int) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise SystemExit(status)
