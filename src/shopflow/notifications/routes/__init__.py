"""The API of notification-service (PRD 4.3), one file for each kind of thing it is about."""

from litestar.handlers import HTTPRouteHandler

from shopflow.clients.guards import Allow
from shopflow.kit.postgres import Database
from shopflow.notifications.replay import Replay
from shopflow.notifications.resend import Resend
from shopflow.notifications.routes import dead_letters, desk, notifications


def routes(database: Database, replay: Replay, resend: Resend, *, allow: Allow) -> list[HTTPRouteHandler]:
    """The handlers, on this database, behind guards made by `allow`.

    Args:
        database: what is read.
        replay: what operators do about parked messages.
        resend: sends notifications again.
        allow: makes guards.
    """
    return [
        *notifications.routes(database, allow=allow),
        *desk.routes(database, resend, allow=allow),
        *dead_letters.routes(database, replay, allow=allow),
    ]
