"""Compares passwords with those of accounts, and makes who guesses wait longer each time (A11).

A guess is counted by e-mail address, whether it has an account or not, before anything is hashed. The owner, at an
address that is known, never waits: so an attacker can keep nobody out.
"""

from typing import Final

from shopflow.auth.hashing import Hashing
from shopflow.auth.store import Credentials
from shopflow.auth.tokens import Tokens
from shopflow.kit.problems import Problem
from shopflow.kit.rate_limits import Delay, Ladder

LADDER: Final = Ladder("sign-in-failures", free=5, cap=30, forget=900)
"""Five failures cost nothing; then a second, two, four, up to thirty; a quarter of an hour without one forgets them."""


class Attempts:
    """Compares passwords, one guess after the other.

    Args:
        hashing: where passwords are hashed.
        tokens: makes the pseudonyms that guesses are counted by.
        delay: what grows with failures.
    """

    def __init__(self, hashing: Hashing, tokens: Tokens, delay: Delay) -> None:
        self._hashing = hashing
        self._tokens = tokens
        self._delay = delay

    async def match(self, password: str, known: Credentials | None, *, email: str) -> bool:
        """Whether this is the password of the account. Without one: no, after the same work (A8).

        Args:
            password: what was typed.
            known: the account's credentials, if there is one.
            email: the address that was typed, in its one form if it has one: what guesses are counted by.

        Raises:
            Problem: of kind too-many, `too-many-failures`, nothing being hashed; of kind unavailable, when too many
                hashes wait.
        """
        stored = known.password_hash if known else None
        if known and known.at_known_address:
            return await self._hashing.matches(password, stored)
        guessed = self._tokens.pseudonym(email)
        await self._delay.begin(guessed)
        try:
            right = await self._hashing.matches(password, stored)
        except Problem:  # no thread was free for it
            await self._delay.undo(guessed)
            raise
        if right:
            await self._delay.forgive(guessed)
        return right
