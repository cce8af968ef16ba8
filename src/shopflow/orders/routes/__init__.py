"""The paths of order-service (PRD 4.2), put together: what changes orders, what reads one, and the list."""

from collections.abc import Callable

from litestar.handlers import HTTPRouteHandler

from shopflow.clients.guards import Allow
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Connection
from shopflow.orders.routes import changes, listed, reads


def routes(database: Connection, *, allow: Allow, wake: Callable[[], None], metrics: Metrics) -> list[HTTPRouteHandler]:
    """Every handler of order-service.

    Args:
        database: where orders are.
        allow: makes the guards that find out who is calling.
        wake: tells the relay that there is something to publish.
        metrics: counts what was placed and advanced.
    """
    return [
        *changes.routes(database, allow=allow, wake=wake, metrics=metrics),
        *reads.routes(database, allow=allow),
        *listed.routes(database, allow=allow),
    ]
