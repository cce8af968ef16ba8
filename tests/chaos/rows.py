"""Which points of a run are which rows of the fault matrix: the rows K1 to K17, B-9, D-11 and N-7."""

from typing import Final

from tests.chaos.steps import Point

_PLACING = "insert idempotency_keys"
_SES = "POST /v2/email"
_TWILIO = "POST /2010-04-01"
IN, OUT = "\N{LEFTWARDS ARROW} ", "\N{RIGHTWARDS ARROW} "

KILLED: Final[dict[str, list[Point]]] = {
    "K1": [Point("place", "orders-postgres", f"{OUT}{_PLACING}")],
    "K2": [Point("place", "orders-postgres", f"{IN}{_PLACING}")],
    "K3": [Point("place", "orders-rabbitmq", f"{OUT}publish order.events")],
    "K4": [Point("place", "orders-rabbitmq", f"{IN}ack")],
    "K5": [Point("place", "orders-postgres", f"{OUT}update outbox published_at")],
    "K6": [Point("ship", "orders-postgres", f"{way}update orders status", 2) for way in (OUT, IN)],
    "K7": [Point("place", "notifications-postgres", f"{OUT}insert inbox")],
    "K8": [Point("place", "notifications-postgres", f"{IN}insert inbox")],
    "K9": [Point("place", "notifications-provider", f"{OUT}{which}") for which in (_SES, _TWILIO)],
    "K10": [
        Point("place", "notifications-provider", f"{IN}200 {_SES}"),
        Point("place", "notifications-provider", f"{IN}201 {_TWILIO}"),
    ],
    "K11": [Point("place", "notifications-postgres", f"{OUT}update deliveries", 2)],
    "K12": [Point("place", "notifications-rabbitmq", f"{OUT}ack")],
    "K13": [Point("retry", "notifications-rabbitmq", f"{OUT}ack")],
    "K14": [Point("park", "notifications-rabbitmq", f"{OUT}ack", 4)],
    "K15": [Point("refresh", "auth-postgres", f"{OUT}commit")],
    "K16": [Point("refresh", "auth-postgres", f"{IN}commit")],
    "K17": [Point("register", "auth-postgres", f"{IN}insert users")],
}
"""Where the process is killed."""

CUT: Final[dict[str, list[Point]]] = {
    "B-9": [
        Point("place", "orders-rabbitmq", f"{OUT}publish order.events"),
        Point("place", "orders-rabbitmq", f"{IN}ack"),
        Point("retry", "notifications-rabbitmq", f"{IN}ack"),
    ],
    "D-11": [
        Point("place", "orders-postgres", f"{IN}{_PLACING}"),
        Point("refresh", "auth-postgres", f"{IN}commit"),
        Point("place", "notifications-postgres", f"{IN}insert inbox"),
    ],
    "N-7": [
        Point("place", "orders-auth", f"{OUT}POST /auth/validate"),
        Point("place", "notifications-orders", f"{OUT}GET /orders/:id"),
    ],
}
"""Where the connection is cut and every process lives on."""
