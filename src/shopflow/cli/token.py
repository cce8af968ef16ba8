"""`shopflow token issue`."""

import os
import sys
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter


def issue(*, service: Annotated[str, Parameter(help="order-service or notification-service")]) -> None:
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
