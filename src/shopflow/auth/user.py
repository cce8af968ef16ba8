"""A user, and the one form of an e-mail address (PRD 3.1, R14). Knows no password: hashes stay in `store`."""

from datetime import datetime
from typing import Final
from uuid import UUID

import email_validator
import msgspec

from shopflow.contracts.identity import Role
from shopflow.kit.discreet import Discreet

_LONGEST_EMAIL: Final = 254

# The library refuses reserved domains such as `.test` and `.local`; ShopFlow takes them (R14). This list is the place
# that the library names for saying so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as stored."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    phone: str | None
    role: Role
    is_active: bool
    created_at: datetime
    updated_at: datetime

    @property
    def governs(self) -> bool:
        """Whether this is an admin who can sign in: one such must always be left."""
        return self.is_active and self.role is Role.ADMIN


class NewUser(Discreet, frozen=True, kw_only=True):
    """Somebody who wants an account: every rule of PRD 4.1 holds, and the e-mail is in its one form."""

    email: str
    password: str
    first_name: str
    last_name: str
    phone: str | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become different about a user; what is UNSET stays."""

    first_name: str | msgspec.UnsetType = msgspec.UNSET
    last_name: str | msgspec.UnsetType = msgspec.UNSET
    phone: str | msgspec.UnsetType | None = msgspec.UNSET
    role: Role | msgspec.UnsetType = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def touch_standing(self) -> bool:
        """Whether they say what the user may do, which is for admins to decide."""
        return self.role is not msgspec.UNSET or self.is_active is not msgspec.UNSET

    def applied_to(self, user: User) -> User:
        """The user after the changes."""
        wanted = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not msgspec.UNSET}
        return msgspec.structs.replace(user, **wanted)


def normalised_email(text: str) -> str | None:
    """The one form of an e-mail address: lower case, ASCII local part, domain in punycode, at most 254 characters.

    Returns:
        None for every text that is not such an address. Nothing is trimmed, and no network is asked (R14).
    """
    if len(text) > _LONGEST_EMAIL:
        return None
    try:
        checked = email_validator.validate_email(text, strict=True, allow_smtputf8=False, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return None
    address = (checked.ascii_email or "").lower()
    return address if 0 < len(address) <= _LONGEST_EMAIL else None
