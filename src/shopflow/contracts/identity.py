"""Who somebody is, as auth-service tells the other services (PRD 4.1, 7.1, 7.3)."""

from enum import StrEnum
from uuid import UUID

import msgspec

from shopflow.contracts.fields import Timestamp


class Role(StrEnum):
    """What a caller may do. `service` is never stored with a user: only the command line mints it (R8)."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"


class Caller(msgspec.Struct, frozen=True):
    """The caller of a request, as `POST /auth/validate` describes it.

    `id` is a user's UUID, or a service's name for the role `service`; then `email` is null (R7).
    """

    id: str
    email: str | None
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def is_service(self) -> bool:
        return self.role is Role.SERVICE

    @property
    def user_id(self) -> UUID:
        """The user's id. Only for people: a service has none (R7), and asking for it is a defect."""
        return UUID(self.id)


class Validation(msgspec.Struct, frozen=True):
    """The whole answer of `POST /auth/validate`."""

    valid: bool
    user: Caller


class Profile(msgspec.Struct, frozen=True):
    """A user as `GET /auth/users/:id` answers it."""

    id: str
    email: str
    first_name: str
    last_name: str
    phone: str | None
    role: Role
    is_active: bool
    created_at: Timestamp
    updated_at: Timestamp
