"""Signs a user in (PRD 4.1): compares the password, then begins a session and issues its first pair of tokens."""

from uuid import uuid4

import msgspec

from shopflow.auth import family, known_addresses, passwords, sessions, store
from shopflow.auth.attempts import Attempts
from shopflow.auth.bodies import SignIn, TokenPair, token_pair
from shopflow.auth.device import Device
from shopflow.auth.hashing import Hashing
from shopflow.auth.store import Credentials, Holder
from shopflow.auth.tokens import Tokens, issue_time
from shopflow.auth.user import normalised_email
from shopflow.kit import logs
from shopflow.kit.postgres import Connection, Database
from shopflow.kit.problems import Problem, forbidden, unauthenticated


async def sign_in(
    database: Database, hashing: Hashing, tokens: Tokens, attempts: Attempts, *, body: SignIn, device: Device
) -> TokenPair:
    """A pair of tokens for somebody who knows the password; `device` is kept with the session.

    Whatever is wrong, the answer is the same, after one look-up and one hash of the same cost (A8).

    Raises:
        Problem: of kind too-many, `too-many-failures`, instead of the hash; of kind unauthenticated,
            `invalid-credentials`; of kind forbidden, `account-deactivated`, only after the right password (R5); of
            kind unavailable, when too many hashes wait.
    """
    email, asked_from = normalised_email(body.email), tokens.pseudonyms(device.address)
    known = await store.credentials(database, email or "", asked_from=asked_from)
    right = await attempts.match(body.password, known, email=email or body.email)
    if known is None or not right:
        raise _refused()
    if not known.is_active:
        raise forbidden("The account is deactivated.", code="account-deactivated")
    known = await _strengthened(database, hashing, known, password=body.password)
    async with database.transaction() as connection:
        holder = await store.unchanged_holder(connection, known)
        if holder is None:
            raise _refused()
        await known_addresses.note(connection, known.user_id, asked_from[0])
        pair = await _begin_session(connection, tokens, holder, device)
    logs.logger("auth").info("signed_in", user_id=known.user_id)
    return pair


async def _begin_session(connection: Connection, tokens: Tokens, holder: Holder, device: Device) -> TokenPair:
    now, user = holder.now, holder.user
    ends_at = now.replace(microsecond=0) + family.LIFETIME
    first = family.link(1, jti=uuid4(), now=now, ends_at=ends_at)
    family_id = await sessions.begin_family(connection, user.id, started_at=now, ends_at=ends_at, device=device)
    await sessions.add_link(connection, family_id, first)
    return token_pair(tokens, user, family_id, first, issued=issue_time(now, holder.ended_until))


async def _strengthened(database: Database, hashing: Hashing, known: Credentials, *, password: str) -> Credentials:
    """Hashes again what was hashed at a lower cost than today's (A7); answers what is stored then, if it matches."""
    if not passwords.is_weaker(known.password_hash, hashing.cost):
        return known
    password_hash = await hashing.hashed(password)
    if await store.strengthen_hash(database, known, password_hash):
        return msgspec.structs.replace(known, password_hash=password_hash)
    stored = await store.credentials_of(database, known.user_id, asked_from=())  # another sign-in's, or a new password
    return stored if stored and await hashing.matches(password, stored.password_hash) else known


def _refused() -> Problem:
    return unauthenticated("invalid-credentials", "The e-mail address or the password is wrong.")
