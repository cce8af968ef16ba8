"""The keys that a signing secret stands for: one for access and service tokens, one for refresh tokens, and a name.

Nothing in here tells anything about the secret to somebody who does not hold it.
"""

import warnings
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey

_REFRESH: Final = b"shopflow refresh token v1"
_PSEUDONYM: Final = b"shopflow pseudonym v1"
_NAME: Final = b"shopflow key id v1"
_NAME_BYTES: Final = 6


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What one secret signs with.

    Attributes:
        id: a short fingerprint, the `kid` of its tokens: equal for equal secrets, derived like a key (A14).
        access: signs access and service tokens; the secret itself (R3).
        refresh: signs refresh tokens (A5).
        pseudonym: makes stand-ins for addresses in the log (A4).
    """

    id: str
    access: OctKey
    refresh: OctKey
    pseudonym: bytes


def keys(secret: str) -> Keys:
    """The keys of a secret."""
    return Keys(
        id=_derived(secret, _NAME)[:_NAME_BYTES].hex(),
        access=_key(secret.encode()),
        refresh=_key(_derived(secret, _REFRESH)),
        pseudonym=_derived(secret, _PSEUDONYM),
    )


def _key(secret: bytes) -> OctKey:
    with warnings.catch_warnings():  # a short secret is our own, louder warning at start (R21)
        warnings.simplefilter("ignore", SecurityWarning)
        return OctKey.import_key(secret)


def _derived(secret: str, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret.encode())
