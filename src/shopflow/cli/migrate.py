"""`shopflow migrate SERVICE`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal


def migrate(service: Literal["auth", "orders", "notifications"]) -> None:
    """Bring the database of a service to its newest schema. Safe when two run it at once.

    Reads DATABASE_URL (or DATABASE_URL_FILE). Exit status: 0 when the schema is current, 1 when the database cannot be
    reached or refuses, 2 when DATABASE_URL is missing or wrong.

    Parameters
    ----------
    service
        Whose database it is.

    """
    import shopflow
    from shopflow.cli.environment import database_url
    from shopflow.kit import logs
    from shopflow.kit.migrations import migrate as run
    from shopflow.kit.problems import Problem

    logs.configure(service="cli", level="error", to=sys.stderr)
    folder = Path(shopflow.__file__).parent / service / "schema"
    try:
        applied = asyncio.run(run(database_url(os.environ), folder))
    except (Problem, TimeoutError) as error:
        sys.stderr.write(f"The database of {service} cannot be migrated: {error}\n")
        raise SystemExit(1) from None
    print("\n".join(f"applied {name}" for name in applied) or f"{service}: nothing to do")
