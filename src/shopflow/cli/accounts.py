"""What the commands of `shopflow user` do. Each change says `cli:<who ran it>` in the row it leaves."""

import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from shopflow.auth import bodies, change, passwords, register, store
from shopflow.auth.hashing import Hashing
from shopflow.auth.user import User
from shopflow.cli.on_database import actor, fail, on_database
from shopflow.contracts.identity import Role
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem

T = TypeVar("T")

_COST = 12

_CHANGES = {
    "promote": (change.promote, "is an admin now"),
    "demote": (change.demote, "is a customer now"),
    "deactivate": (change.deactivate, "is deactivated"),
    "reactivate": (change.reactivate, "is active"),
}


def make_admin(email: str, *, first_name: str, last_name: str, password_stdin: bool, json: bool) -> None:
    """Makes an admin, or says that the address is registered already."""
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

    user, is_new = on_database(run)
    said = "is an admin now" if is_new else "is registered already; nothing was changed"
    _show(user, json=json, said=said, made_up=password if is_new and not password_stdin else None)


def change_account(what: str, who: str, *, json: bool) -> None:
    """Carries out one of the changes above and says what the account is now."""
    verb, said = _CHANGES[what]

    async def run(database: Database) -> User:
        return await verb(database, (await _found(database, who)).id, by=actor())

    _show(on_database(run), json=json, said=said)


def give_password(who: str, *, password_stdin: bool) -> None:
    """Gives an account a new password and ends its sessions."""
    password = _read_password() if password_stdin else secrets.token_urlsafe(12) + "aA1!"
    if broken := passwords.broken_rules(password):
        fail("\n".join(f"The password {rule}." for rule in broken), status=2)

    async def run(database: Database) -> User:
        user = await _found(database, who)
        await _with_hashing(
            lambda hashing: change.reset_password(database, hashing, user.id, password=password, by=actor())
        )
        return user

    _show(on_database(run), json=False, said="has a new password", made_up=None if password_stdin else password)


async def _found(database: Database, who: str) -> User:
    user = await store.find(database, who)
    if user is None:
        fail(f"There is no account {who}.")
    return user


async def _with_hashing(work: Callable[[Hashing], Awaitable[T]]) -> T:
    hashing = Hashing(_COST, Metrics())
    try:
        return await work(hashing)
    finally:
        await hashing.close()


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
