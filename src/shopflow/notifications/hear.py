"""Hearing from a provider what became of a message (D5): is it the provider's, what does it say, whom is it about.

A report never moves a status back, and one that comes again changes nothing. What an attempt in doubt left open is
settled by it: what the provider reports about was accepted.
"""

from typing import assert_never
from uuid import uuid4

from shopflow.kit import logs
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem
from shopflow.notifications import receipts
from shopflow.notifications.channels import ses_events, twilio_callbacks
from shopflow.notifications.channels.sns import Topic, not_verified
from shopflow.notifications.notification import ChannelName
from shopflow.notifications.receipt import OptedIn, OptedOut, Receipt, Report, Suppression


class Hear:
    """Takes the providers' callbacks.

    Args:
        database: where it is kept.
        topic: where SES's events come from; None refuses them all.
        auth_token: Twilio's, by which it shows who it is.
        our_number: whom customers answer to.
        metrics: a count of callbacks by what became of them.
    """

    def __init__(
        self, database: Database, *, topic: Topic | None, auth_token: str, our_number: str, metrics: Metrics
    ) -> None:
        self._database = database
        self._topic = topic
        self._auth_token = auth_token
        self._our_number = our_number
        self._log = logs.logger("hear")
        self._callbacks = metrics.counter(
            "callbacks_total", "Providers' callbacks by what became of them.", ("channel", "outcome")
        )

    async def ses(self, body: bytes) -> None:
        """Takes what SNS posts: an event of SES, or the question whether we want any.

        Raises:
            Problem: of kind forbidden, when it is not from our topic.
        """
        channel = ChannelName.EMAIL
        try:
            if self._topic is None:
                raise not_verified()
            envelope = await self._topic.verified(body)
            if envelope.type == "SubscriptionConfirmation":
                await self._topic.confirm(envelope)
                self._count(channel, "confirmed")
                return
        except Problem as problem:
            raise self._refused(channel, problem) from None
        message = ses_events.receipt(envelope.message) if envelope.type == "Notification" else None
        await self._take(channel, message)

    async def twilio(self, url: str, body: bytes, *, signature: str, notification: str | None) -> None:
        """Takes what Twilio posts: the state of an SMS, or a customer's STOP.

        Args:
            url: the address as Twilio called it.
            body: the form.
            signature: Twilio's.
            notification: which one it is about, as the address says.

        Raises:
            Problem: of kind forbidden, when it is not from Twilio.
        """
        try:
            form = twilio_callbacks.verified(url, body, signature, auth_token=self._auth_token)
        except Problem as problem:
            raise self._refused(ChannelName.SMS, problem) from None
        said = twilio_callbacks.report(form, notification=notification, our_number=self._our_number)
        await self._take(ChannelName.SMS, said)

    async def _take(self, channel: ChannelName, report: Report | None) -> None:
        match report:
            case None:
                self._count(channel, "ignored")
            case Receipt():
                self._count(channel, await self._receipt(report))
            case OptedOut(number):
                await receipts.suppress(self._database, channel, number, Suppression.STOP)
                self._count(channel, "recorded")
            case OptedIn(number):
                await receipts.lift(self._database, channel, number, Suppression.STOP)
                self._count(channel, "recorded")
            case _:
                assert_never(report)

    async def _receipt(self, receipt: Receipt) -> str:
        noted = await receipts.record(self._database, receipt)
        if noted is None:
            return "unknown"
        adopted = False
        if noted.unsettled:
            async with self._database.transaction() as transaction:
                adopted = await receipts.adopt(
                    transaction, noted.notification_id, attempt_id=uuid4(), provider_ref=receipt.provider_ref
                )
        if noted.moved or adopted:
            self._log.info(
                "receipt", notification_id=str(noted.notification_id), channel=receipt.channel, state=receipt.state,
                code=receipt.code, adopted=adopted, suppressed=receipt.suppress,
            )  # fmt: skip
        return "recorded" if noted.moved or adopted else "repeated"

    def _refused(self, channel: ChannelName, problem: Problem) -> Problem:
        if problem.kind is Kind.FORBIDDEN:
            self._count(channel, "refused")
        return problem

    def _count(self, channel: ChannelName, outcome: str) -> None:
        self._callbacks.labels(channel, outcome).inc()
