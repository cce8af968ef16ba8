"""What `shopflow token revoke` does. The rows it leaves say `cli:<who ran it>`."""

import time
from datetime import UTC, datetime

from shopflow.auth.bodies import RevokeServiceTokens, revocation_instant
from shopflow.auth.revoke import revoke
from shopflow.auth.tokens import SERVICES
from shopflow.cli.on_database import actor, fail, on_database
from shopflow.contracts.fields import timestamp
from shopflow.kit.problems import Problem


def revoke_tokens(service: str, issued_before: str | None) -> None:
    """Revokes a service's tokens, and waits until one that is issued next is no longer of the same second."""
    if service not in SERVICES:
        fail(f"--service must be one of {', '.join(sorted(SERVICES))}", status=2)
    instant = _instant(issued_before) if issued_before else datetime.now(UTC)
    on_database(lambda database: revoke(database, service, issued_before=instant, by=actor()))
    while time.time() < int(instant.timestamp()) + 1:
        time.sleep(0.05)
    print(f"tokens of {service} issued before {timestamp(instant)} are refused")


def _instant(text: str) -> datetime:
    try:
        return revocation_instant(RevokeServiceTokens(name="order-service", issued_before=text))
    except Problem as problem:
        fail(f"--issued-before {problem.errors[0].rule}", status=2)
