"""Changes what is known about an account: names, phone, role, whether it is active, its password.

One admin who can sign in is always left. Who ceases to be active loses every session and token in the same transaction.
"""

from typing import Final
from uuid import UUID

from shopflow.auth import known_addresses, sessions, store
from shopflow.auth.family import Ending
from shopflow.auth.hashing import Hashing
from shopflow.auth.user import Changes, User
from shopflow.contracts.identity import Role
from shopflow.kit import logs
from shopflow.kit.postgres import Connection, Database
from shopflow.kit.problems import FieldError, conflict, invalid, not_found

_LONGEST_REASON: Final = 500


async def change(database: Database, user_id: UUID, changes: Changes, *, by: str, reason: str | None = None) -> User:
    """The user after the changes; one that is that way already stays untouched.

    Args:
        database: auth-service's own.
        user_id: whom to change.
        changes: what is to become different.
        by: who wants it: a user's id, or `cli:` and a name.
        reason: why a user is deactivated, at most 500 characters.

    Raises:
        Problem: of kind not found; of kind conflict, `last-admin`; of kind invalid, when the reason is too long.
    """
    if reason is not None and len(reason) > _LONGEST_REASON:
        raise invalid(FieldError("reason", f"must have at most {_LONGEST_REASON} characters"))
    async with database.transaction() as connection:
        if changes.touch_standing:
            await store.lock_standing(connection)
        user = await store.locked_user(connection, user_id)
        if user is None:
            raise not_found("user")
        changed = changes.applied_to(user)
        if changed == user:
            return user
        await _keep_an_admin(connection, user, changed)
        if user.is_active is not changed.is_active:
            await _turn(connection, changed, by=by, reason=reason)
        saved = await store.save_user(connection, changed)
    logs.logger("auth").info("changed", user_id=user_id, by=by, role=saved.role, is_active=saved.is_active)
    return saved


async def promote(database: Database, user_id: UUID, *, by: str) -> User:
    """Makes a user an admin; raises as `change` does."""
    return await change(database, user_id, Changes(role=Role.ADMIN), by=by)


async def demote(database: Database, user_id: UUID, *, by: str) -> User:
    """Makes an admin a customer; raises as `change` does."""
    return await change(database, user_id, Changes(role=Role.CUSTOMER), by=by)


async def deactivate(database: Database, user_id: UUID, *, by: str, reason: str | None = None) -> User:
    """Locks a user out at once (R5, R25); raises as `change` does."""
    return await change(database, user_id, Changes(is_active=False), by=by, reason=reason)


async def reactivate(database: Database, user_id: UUID, *, by: str) -> User:
    """Lets a user sign in again; raises as `change` does."""
    return await change(database, user_id, Changes(is_active=True), by=by)


async def reset_password(database: Database, hashing: Hashing, user_id: UUID, *, password: str, by: str) -> None:
    """Gives a user another password, which breaks no rule, and ends all sessions.

    Raises:
        Problem: of kind not found.
    """
    password_hash = await hashing.hashed(password)
    async with database.transaction() as connection:
        if await store.locked_user(connection, user_id) is None:
            raise not_found("user")
        await store.replace_hash(connection, user_id, password_hash)
        await known_addresses.forget(connection, user_id)
        await sessions.end_families(connection, user_id, Ending.PASSWORD)
    logs.logger("auth").info("password_reset", user_id=user_id, by=by)


async def _keep_an_admin(connection: Connection, user: User, changed: User) -> None:
    if user.governs and not changed.governs and not await store.is_other_admin(connection, user.id):
        raise conflict("last-admin", "This is the last admin who can sign in; make another one first.")


async def _turn(connection: Connection, changed: User, *, by: str, reason: str | None) -> None:
    if changed.is_active:
        await store.forget_deactivation(connection, changed.id)
    else:
        await store.note_deactivation(connection, changed.id, by=by, reason=reason)
        await sessions.end_families(connection, changed.id, Ending.DEACTIVATION)
