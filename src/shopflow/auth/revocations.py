"""The SQL about service tokens: how one stands, and from when on those of a name hold (R7)."""

from datetime import datetime
from typing import Final

import msgspec

from shopflow.kit.postgres import Connection, rows_changed

SERVICE_STANDING: Final = """
SELECT extract(epoch FROM now())::float8 AS now, extract(epoch FROM r.issued_before)::float8 AS issued_before
  FROM (SELECT $1::text AS name) asked LEFT JOIN service_token_revocations r ON r.name = asked.name
"""

REVOKED: Final = """
INSERT INTO service_token_revocations (name, issued_before, by)
SELECT $1, least($2, clock_timestamp()), $3 WHERE $2 <= clock_timestamp() + make_interval(secs => $4)
ON CONFLICT (name) DO UPDATE
   SET issued_before = greatest(service_token_revocations.issued_before, excluded.issued_before),
       revoked_at = now(), by = excluded.by
"""


class ServiceStanding(msgspec.Struct, frozen=True):
    """The database's clock, and before which instant a name's tokens were revoked; in seconds since 1970."""

    now: float
    issued_before: float | None


async def service_standing(connection: Connection, name: str) -> ServiceStanding:
    """How a service's token is judged: the one read of every validation of one."""
    [row] = await connection.fetch(SERVICE_STANDING, name)
    return ServiceStanding(row["now"], row["issued_before"])


async def revoke(connection: Connection, name: str, *, issued_before: datetime, by: str, tolerance: float) -> bool:
    """Revokes a name's tokens, and never takes a former revocation back; answers whether it did.

    It does not when the instant lies more than `tolerance` seconds in the future; what lies less far counts as now.
    """
    return rows_changed(await connection.execute(REVOKED, name, issued_before, by, tolerance)) == 1
