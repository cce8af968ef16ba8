"""`shopflow reconcile`: orders whose customer was not told, and how they are. The doing is in `reconciliation.py`."""

from typing import Annotated

from cyclopts import Parameter


def reconcile(
    *,
    repair: Annotated[bool, Parameter(help="Announce again what was lost.", negative="")] = False,
    order: Annotated[str | None, Parameter(help="Only this order.")] = None,
    since: Annotated[str | None, Parameter(help="Only what was to be told from this instant on (RFC 3339).")] = None,
    older_than: Annotated[float, Parameter(help="Seconds that everything has to be told in.")] = 300,
    json: Annotated[bool, Parameter(help="A JSON object a line: each finding, then the sum.", negative="")] = False,
) -> None:
    """Find every order whose event or notification is missing, and with --repair announce it again.

    Asks order-service's database which events its orders call for, and notification-service's what became of them; only
    ids travel between the two. An event that is announced again is the same event: what the customer got already is not
    sent again. So it may run at any time and as often as you like, and leaves alone what is under way. What is parked
    stays with `shopflow dead-letters`. Each repair leaves a row in order-service's table `repairs`.

    Reads DATABASE_URL_ORDERS and DATABASE_URL_NOTIFICATIONS (or …_FILE), else the databases of the platform that
    `shopflow up` runs in $SHOPFLOW_HOME. Exit status: 0 when nothing is missing, or all of it was announced again; 1
    when something is; 2 when something given is wrong; 3 when a database cannot be read, so that not all is known.

    Examples: `shopflow reconcile` · `shopflow reconcile --repair --since 2026-11-01T00:00:00Z` ·
    `shopflow reconcile --order 7d9f6a52-0d5c-4d53-9b63-53d2f3a2a4a1 --json`
    """
    from shopflow.cli import reconciliation

    reconciliation.reconcile(repair=repair, order=order, since=since, older_than=older_than, json=json)
