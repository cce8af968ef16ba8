"""Runs a piece of work on the database that DATABASE_URL names, and turns what can go wrong into an exit status."""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from shopflow.cli.environment import database_url
from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem

T = TypeVar("T")


def on_database(work: Callable[[Database], Awaitable[T]]) -> T:
    """What the work answers. A problem ends the command: status 2 for what was given wrongly, 1 for the rest."""
    logs.configure(service="cli", level="error", to=sys.stderr)
    database = Database(database_url(os.environ), size=1)

    async def run() -> T:
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        broken = "".join(f"\n  {error.field} {error.rule}" for error in problem.errors)
        fail(problem.detail + broken, status=2 if problem.kind is Kind.INVALID else 1)


def actor() -> str:
    """Who runs the command, as the rows say that it leaves."""
    return f"cli:{getpass.getuser()}"


def fail(why: str, *, status: int = 1) -> NoReturn:
    """Ends the command with a reason."""
    sys.stderr.write(f"{why}\n")
    raise SystemExit(status)
