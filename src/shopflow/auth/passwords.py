"""Passwords: the rules for new ones (PRD 4.1, R15), and bcrypt. The functions that hash take a quarter of a second."""

from collections.abc import Container
from secrets import token_hex
from typing import Final
from unicodedata import category

import bcrypt

LONGEST: Final = 72
"""Bytes of UTF-8 that bcrypt reads; what lies beyond would not count (A7)."""

_FEWEST: Final = 8
_CHEAPEST: Final = 4
_DIGEST: Final = 31  # characters at the end of a hash that depend on the password


def broken_rules(password: str, common: Container[str] = ()) -> list[str]:
    """Which rules a new password breaks, each to be read after "password"; empty when it is good.

    Args:
        password: what somebody wants to have.
        common: passwords that nobody may have, case-folded (R15).
    """
    rules = {
        f"must have at least {_FEWEST} characters": len(password) >= _FEWEST,
        f"must have at most {LONGEST} bytes in UTF-8": len(password.encode(errors="surrogatepass")) <= LONGEST,
        "must not have NUL characters or lone surrogates": not any(map(_is_broken, password)),
        "must have an upper-case letter": any(category(each) == "Lu" for each in password),
        "must have a lower-case letter": any(category(each) == "Ll" for each in password),
        "must have a digit": any(each.isdecimal() for each in password),
        "must have a special character": any(_is_special(each) for each in password),
        "must not be a common one": password.casefold() not in common,
    }
    return [rule for rule, holds in rules.items() if not holds]


def hashed(password: str, cost: int) -> str:
    """A bcrypt hash of a password that breaks no rule."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed; an over-long one never is, and takes the same time (A8)."""
    raw = password.encode()
    same = bcrypt.checkpw(raw[:LONGEST], stored.encode())
    return same and len(raw) <= LONGEST


def unmatched(cost: int) -> str:
    """A hash that no password has, and that takes as long to compare as a real one of this cost (A8)."""
    digest = hashed(token_hex(16), _CHEAPEST)[-_DIGEST:]
    return bcrypt.gensalt(cost).decode() + digest


def is_weaker(stored: str, cost: int) -> bool:
    """Whether a hash was made with a lower cost than the one in force now (A7)."""
    return int(stored.split("$")[2]) < cost


def _is_special(character: str) -> bool:
    return character.isprintable() and not (character.isalpha() or character.isdecimal() or character.isspace())


def _is_broken(character: str) -> bool:
    """Whether this is no character of a text: JSON with one is refused before, a command line may have one."""
    return character == "\0" or category(character) == "Cs"
