"""Registers a user (PRD 4.1): hashes the password, then stores the user. Makes admins too, for the command line."""

from shopflow.auth import store
from shopflow.auth.hashing import Hashing
from shopflow.auth.user import NewUser, User
from shopflow.contracts.identity import Role
from shopflow.kit import logs
from shopflow.kit.postgres import Database
from shopflow.kit.problems import conflict


async def register(database: Database, hashing: Hashing, wanted: NewUser, *, role: Role = Role.CUSTOMER) -> User:
    """Stores a new user.

    The password is hashed before anybody looks whether the e-mail is taken: both outcomes take equally long (R17).

    Raises:
        Problem: of kind conflict, `email-already-registered`; of kind unavailable, when too many hashes wait.
    """
    password_hash = await hashing.hashed(wanted.password)
    user = await store.add_user(database, wanted, password_hash=password_hash, role=role)
    if user is None:
        raise conflict("email-already-registered", "This e-mail address has an account already.")
    logs.logger("auth").info("registered", user_id=user.id, role=role)
    return user
