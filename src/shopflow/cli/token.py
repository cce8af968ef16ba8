"""`shopflow token …`: the tokens that services show each other."""

import os
import sys
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

Service = Annotated[str, Parameter(help="order-service or notification-service")]


def issue(*, service: Service) -> None:
    """Print a token that lets a service call the others for 24 hours.

    Reads JWT_SECRET (or JWT_SECRET_FILE), the secret that auth-service runs with. Exit status: 0, or 2 when the secret
    is missing or the name is none of a service.
    """
    from shopflow.auth.tokens import SERVICES, service_token
    from shopflow.cli.environment import jwt_secret

    if service not in SERVICES:
        sys.stderr.write(f"--service must be one of {', '.join(sorted(SERVICES))}\n")
        raise SystemExit(2)
    print(service_token(jwt_secret(os.environ), service, datetime.now(UTC)))


def revoke(*, service: Service, issued_before: str | None = None) -> None:
    """Refuse a service's tokens that were issued until now.

    A token issued after the command has ended holds; nothing takes a revocation back. Reads auth-service's DATABASE_URL
    (or DATABASE_URL_FILE). Exit status: 0, 1 when the database does not answer, 2 when the name is none of a service,
    or the instant is none or in the future.

    Parameters
    ----------
    issued_before
        Refuse only those issued before this instant, such as 2026-02-17T10:30:00Z.

    """
    from shopflow.cli import revocation

    revocation.revoke_tokens(service, issued_before)
