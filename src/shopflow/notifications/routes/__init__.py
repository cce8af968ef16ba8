"""The API of notification-service (PRD 4.3), one file for each kind of thing it is about."""

from litestar.handlers import HTTPRouteHandler

from shopflow.clients.guards import Allow
from shopflow.kit.postgres import Database
from shopflow.notifications.routes import notifications


def routes(database: Database, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers, on this database, behind guards made by `allow`."""
    return [*notifications.routes(database, allow=allow)]
