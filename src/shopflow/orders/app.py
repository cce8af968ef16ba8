"""Puts order-service together: everything concrete is chosen here, for production and tests alike."""

from typing import Final

from shopflow.clients.auth import AuthClient
from shopflow.clients.guards import authenticated
from shopflow.contracts.topology import EVENTS_EXCHANGE, events_topology
from shopflow.kit.credentials import Credential
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import Relay
from shopflow.kit.peer import Peer
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.kit.rate_limits import RateLimit, counts_at
from shopflow.kit.service import Application, Dependency
from shopflow.kit.trims import Trims
from shopflow.orders.placements import TRIM_KEYS
from shopflow.orders.routes import routes
from shopflow.orders.settings import Settings

MAX_BODY: Final = 1024 * 1024
"""Bytes that a request body may have (R34)."""


def build(settings: Settings) -> Application:
    """order-service as these settings describe it; nothing is opened yet."""
    metrics = Metrics()
    database = Database(settings.database_url)
    counts = counts_at(settings.rate_limit_storage_url, metrics)
    auth = Peer("auth-service", settings.auth_service_url, metrics=metrics)
    publisher = Publisher(
        settings.rabbitmq_url, name="order-service", topology=events_topology(settings.queue_type), metrics=metrics
    )
    relay = Relay(database, publisher, exchange=EVENTS_EXCHANGE, metrics=metrics)
    own_token = Credential(
        settings.auth_service_token, settings.auth_service_token_file, name="AUTH_SERVICE_TOKEN", metrics=metrics
    )
    allow = authenticated(
        AuthClient(auth, service_token=own_token),
        per_user=RateLimit(settings.rate_limit_orders, name="orders", store=counts, metrics=metrics),
        per_address=RateLimit(settings.rate_limit_orders, name="orders-address", store=counts, metrics=metrics),
    )
    trims = Trims(database, {"idempotency_keys": TRIM_KEYS})
    return Application(
        name="order-service",
        summary="Orders: placed, read, and brought from pending to delivered.",
        routes=routes(database, allow=allow, wake=relay.wake, metrics=metrics),
        resources=[database, counts, auth, publisher, relay, trims],
        dependencies=[
            Dependency(name="database", answers=database.answers, vital=True),
            Dependency(name="broker", answers=publisher.answers),
            Dependency(name="auth-service", answers=auth.answers),
            Dependency(name="rate-limit-store", answers=counts.answers),
        ],
        metrics=metrics,
        max_body=MAX_BODY,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
    )
