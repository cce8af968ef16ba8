"""`shopflow user …`: accounts, where no admin can sign in. Each change says `cli:<who ran it>` in the row it leaves."""

import asyncio
import getpass
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import msgspec
from cyclopts import Parameter

from shopflow.auth import bodies, change, passwords, register, store
from shopflow.auth.hashing import Hashing
from shopflow.auth.user import User
from shopflow.cli.environment import database_url
from shopflow.contracts.identity import Role
from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem

T = TypeVar("T")

_COST = 12

Who = Annotated[str, Parameter(help="The account's e-mail address or id.")]
Json = Annotated[bool, Parameter(help="Print the account as JSON.", negative="")]
FromStdin = Annotated[bool, Parameter(help="Read the password from standard input.", negative="")]


def create_admin(
    *,
    email: str,
    first_name: str = "ShopFlow",
    last_name: str = "Admin",
    password_stdin: FromStdin = False,
    json: Json = False,
) -> None:
    """Make an account with the role admin.

    Without --password-stdin a password is made up and printed once. An address that is registered already is left as it
    is. Reads DATABASE_URL (or DATABASE_URL_FILE). Exit status: 0 when the account is there, 1 when it cannot be made,
    2 when something given is wrong.

    Parameters
    ----------
    email
        Its e-mail address.
    first_name
        First name.
    last_name
        Last name.

    """
    password = _read_password() if password_stdin else secrets.token_urlsafe(12) + "aA1!"

    async def run(database: Database) -> tuple[User, bool]:
        body = bodies.Register(email=email, password=password, first_name=first_name, last_name=last_name)
        try:
            return await _with_hashing(
                lambda hashing: register.register(database, hashing, bodies.new_user(body), role=Role.ADMIN)
            ), True
        except Problem as problem:
            if problem.kind is Kind.CONFLICT:
                return await _found(database, email), False
            raise

    user, is_new = _on_database(run)
    said = "is an admin now" if is_new else "is registered already; nothing was changed"
    _show(user, json=json, said=said, made_up=password if is_new and not password_stdin else None)


def promote(who: Who, *, json: Json = False) -> None:
    """Make a customer an admin. Exit status: 0, 1 when there is no such account."""
    _changed(who, change.promote, json=json, said="is an admin now")


def demote(who: Who, *, json: Json = False) -> None:
    """Make an admin a customer; the last admin stays one. Exit status: 0, 1 when that is refused."""
    _changed(who, change.demote, json=json, said="is a customer now")


def deactivate(who: Who, *, json: Json = False) -> None:
    """Deactivate an account; its tokens end at once. The last admin stays active. Exit status: 0, 1 when refused."""
    _changed(who, change.deactivate, json=json, said="is deactivated")


def reactivate(who: Who, *, json: Json = False) -> None:
    """Make a deactivated account usable again. Exit status: 0, 1 when there is no such account."""
    _changed(who, change.reactivate, json=json, said="is active")


def reset_password(who: Who, *, password_stdin: FromStdin = False) -> None:
    """Give an account a new password and end all its sessions.

    Without --password-stdin a password is made up and printed once. Exit status: 0, 1 when there is no such account,
    2 when the password breaks a rule.
    """
    password = _read_password() if password_stdin else secrets.token_urlsafe(12) + "aA1!"
    if broken := passwords.broken_rules(password):
        _fail("\n".join(f"The password {rule}." for rule in broken), status=2)

    async def run(database: Database) -> User:
        user = await _found(database, who)
        await _with_hashing(
            lambda hashing: change.reset_password(database, hashing, user.id, password=password, by=_actor())
        )
        return user

    _show(_on_database(run), json=False, said="has a new password", made_up=None if password_stdin else password)


def _changed(who: str, verb: Callable[..., Awaitable[User]], *, json: bool, said: str) -> None:
    async def run(database: Database) -> User:
        return await verb(database, (await _found(database, who)).id, by=_actor())

    _show(_on_database(run), json=json, said=said)


async def _found(database: Database, who: str) -> User:
    user = await store.find(database, who)
    if user is None:
        _fail(f"There is no account {who}.")
    return user


async def _with_hashing(work: Callable[[Hashing], Awaitable[T]]) -> T:
    hashing = Hashing(_COST, Metrics())
    try:
        return await work(hashing)
    finally:
        await hashing.close()


def _on_database(work: Callable[[Database], Awaitable[T]]) -> T:
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
        _fail(problem.detail + broken, status=2 if problem.kind is Kind.INVALID else 1)


def _show(user: User, *, json: bool, said: str, made_up: str | None = None) -> None:
    """Says what became of an account; a password that was made up is shown here or never."""
    if json:
        shown = msgspec.to_builtins(bodies.profile(user)) | ({"password": made_up} if made_up else {})
        print(msgspec.json.encode(shown).decode())
        return
    print(f"{user.email} {said}")
    if made_up:
        print(f"password: {made_up}")


def _read_password() -> str:
    return sys.stdin.readline().rstrip("\n")


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _fail(why: str, *, status: int = 1) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise SystemExit(status)
