"""The composition root of notification-service: everything concrete is chosen here."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from functools import partial

from shopflow.clients.auth import AuthClient
from shopflow.clients.guards import authenticated
from shopflow.clients.orders import OrdersClient
from shopflow.contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    PAUSE_DELAY,
    SUBSCRIPTIONS,
    Subscription,
    consumer_topology,
)
from shopflow.kit.consumer import Consumer, Work
from shopflow.kit.credentials import Credential
from shopflow.kit.handlings import Handlings
from shopflow.kit.metrics import Metrics
from shopflow.kit.peer import Peer
from shopflow.kit.postgres import Database
from shopflow.kit.rabbitmq.publisher import Publisher
from shopflow.kit.rate_limits import RateLimit, counts_at
from shopflow.kit.service import Application, Dependency
from shopflow.kit.trims import Trims
from shopflow.notifications import unfinished
from shopflow.notifications.channels import Channel, Outcome, Outgoing, Sighting, ses, sns, twilio
from shopflow.notifications.channels.gate import Gate
from shopflow.notifications.deliver import Deliver
from shopflow.notifications.drain import Drain
from shopflow.notifications.hear import Hear
from shopflow.notifications.message import Renderer
from shopflow.notifications.notification import ChannelName
from shopflow.notifications.react import React
from shopflow.notifications.replay import Replay
from shopflow.notifications.resend import Resend
from shopflow.notifications.resume import Resume
from shopflow.notifications.routes import callbacks, routes
from shopflow.notifications.settings import Settings
from shopflow.notifications.sweep import Sweep

NAME = "notification-service"
MAX_BODY = 16 * 1024
FORGET_EVERY = 60.0  # seconds; the table is small for as long as its finished rows are few


class OpenedChannel:
    """A channel whose client lives as long as the application."""

    def __init__(self, opening: AbstractAsyncContextManager[Channel]) -> None:
        self._opening = opening
        self._stack = AsyncExitStack()
        self._channel: Channel | None = None

    async def open(self) -> None:
        """Opens the client."""
        self._channel = await self._stack.enter_async_context(self._opening)

    async def close(self) -> None:
        """Closes the client."""
        await self._stack.aclose()

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Makes one attempt."""
        return await self._opened().send(outgoing)

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Sighting:
        """Looks for the message of an attempt in doubt."""
        return await self._opened().find(outgoing, since=since)

    def _opened(self) -> Channel:
        if self._channel is None:
            raise RuntimeError("the channel is used before it was opened")
        return self._channel


def build(settings: Settings) -> Application:
    """notification-service, ready to be served."""
    metrics = Metrics()
    database = Database(settings.database_url)
    counts = counts_at(settings.rate_limit_storage_url, metrics)
    auth_peer = Peer("auth-service", settings.auth_service_url, metrics=metrics)
    orders_peer = Peer("order-service", settings.order_service_url, metrics=metrics)
    for_auth = Credential(
        settings.auth_service_token, settings.auth_service_token_file, name="AUTH_SERVICE_TOKEN", metrics=metrics
    )
    for_orders = Credential(
        settings.order_service_token, settings.order_service_token_file, name="ORDER_SERVICE_TOKEN", metrics=metrics
    )
    auth = AuthClient(auth_peer, service_token=for_auth)
    orders = OrdersClient(orders_peer, service_token=for_orders)
    channels = _channels(settings)
    gates = _gates(settings, metrics)
    topic = _topic(settings, metrics)
    hear = Hear(
        database,
        topic=topic,
        auth_token=settings.twilio_auth_token,
        our_number=settings.twilio_from_number,
        metrics=metrics,
    )
    deliver = Deliver(
        database, channels, delays=settings.retry_delays, gates=gates, kept=_kept(settings), metrics=metrics
    )
    react = React(database, auth=auth, orders=orders, renderer=Renderer(), deliverer=deliver, metrics=metrics)
    topology = consumer_topology(settings.queue_type, settings.retry_delays)
    publisher = Publisher(settings.rabbitmq_url, name="notifications-copies", topology=topology, metrics=metrics)
    consumer = Consumer(
        settings.rabbitmq_url,
        works=[_work(each, react, settings) for each in SUBSCRIPTIONS],
        topology=topology,
        publisher=publisher,
        metrics=metrics,
        handlings=Handlings(database),
    )
    drain = Drain(settings.rabbitmq_url, database, topology=topology, metrics=metrics)
    replay = Replay(database, publisher, metrics=metrics)
    resume = Resume(
        database, auth=auth, orders=orders, replayer=replay, metrics=metrics, interval=settings.replay_interval
    )
    resend = Resend(database, deliverer=deliver)
    sweep = Sweep(database, publisher, metrics=metrics, after=settings.sweep_after)
    forget = Trims(database, {"unfinished": unfinished.FORGET}, every=FORGET_EVERY)
    allow = authenticated(
        auth,
        per_user=RateLimit(settings.rate_limit, name="notifications", store=counts, metrics=metrics),
        per_address=RateLimit(settings.rate_limit, name="notifications-address", store=counts, metrics=metrics),
    )
    return Application(
        name=NAME,
        summary="What customers were told about their orders, by e-mail and SMS.",
        routes=[
            *routes(database, replay, resend, allow=allow),
            *callbacks.routes(hear, public_url=settings.callbacks_url),
        ],
        resources=[
            database,
            counts,
            auth_peer,
            orders_peer,
            *channels.values(),
            publisher,
            consumer,
            drain,
            resume,
            resend,
            sweep,
            forget,
            *([topic] if topic else []),
        ],
        dependencies=[
            Dependency(name="database", answers=database.answers, vital=True),
            Dependency(name="broker", answers=consumer.answers),
            Dependency(name="auth-service", answers=auth_peer.answers),
            Dependency(name="order-service", answers=orders_peer.answers),
            Dependency(name="rate-limit-store", answers=counts.answers),
            *(Dependency(name=f"{name}-channel", answers=gate.answers) for name, gate in gates.items()),
        ],
        metrics=metrics,
        max_body=MAX_BODY,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
    )


def _channels(settings: Settings) -> dict[ChannelName, OpenedChannel]:
    email = ses.opened(
        region=settings.aws_ses_region,
        from_email=settings.aws_ses_from_email,
        endpoint_url=settings.aws_endpoint_url_sesv2,
    )
    sms = twilio.opened(
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        from_number=settings.twilio_from_number,
        base_url=settings.twilio_base_url,
        callback_url=settings.callbacks_url and settings.callbacks_url + callbacks.TWILIO_PATH,
    )
    return {ChannelName.EMAIL: OpenedChannel(email), ChannelName.SMS: OpenedChannel(sms)}


def _kept(settings: Settings) -> frozenset[ChannelName]:
    rules = {ChannelName.EMAIL: settings.email_in_doubt, ChannelName.SMS: settings.sms_in_doubt}
    return frozenset(name for name, rule in rules.items() if rule == "keep")


def _topic(settings: Settings, metrics: Metrics) -> sns.Topic | None:
    if settings.sns_topic is None:
        return None
    return sns.Topic(settings.sns_topic, endpoint=settings.aws_endpoint_url_sns, metrics=metrics)


def _gates(settings: Settings, metrics: Metrics) -> dict[ChannelName, Gate]:
    paces = {ChannelName.EMAIL: settings.ses_pace, ChannelName.SMS: settings.twilio_pace}
    return {name: Gate(name, metrics=metrics, pause=settings.channel_pause, pace=pace) for name, pace in paces.items()}


def _work(subscription: Subscription, react: React, settings: Settings) -> Work:
    return Work(
        queue=subscription.queue,
        delays=settings.retry_delays,
        pause=PAUSE_DELAY,
        wait_queue=subscription.wait_queue,
        parking_exchange=DEAD_LETTER_EXCHANGE,
        parking_key=subscription.dead_letter_key,
        handle=partial(react.handle, subscription.event_type),
    )
