"""Sends a notification again because an operator wants it (R79): a new one, linked to the original.

It is recorded before it is sent, and tried from the table, since it has no event that a queue could bring back: after a
crash it goes on where it stood. The attempts, claims and doubts are those of every notification.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol
from uuid import UUID, uuid4

from shopflow.kit import logs
from shopflow.kit.cancellations import ended
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Problem, conflict, not_found
from shopflow.notifications import resends, store
from shopflow.notifications.bodies import NotificationDetail
from shopflow.notifications.notification import Progress, Standing
from shopflow.notifications.store import Recorded

SWEEP: Final = 1.0
"""Seconds between two looks at what is due."""

_PAUSE: Final = 30.0  # seconds until one is tried again whose channel cannot be used now, as an event would wait
_REST: Final = 60.0  # longer than an attempt takes: what a process held that died is tried after this
_BATCH: Final = 10
_LAST_WAIT: Final = 1.0


class Deliverer(Protocol):
    """Whoever delivers one recorded notification."""

    def deliver(self, notification: Recorded) -> Awaitable[Standing]: ...


class Resend:
    """Records what is to be sent again, and sees to it until it is settled.

    Args:
        database: where notifications are recorded.
        deliverer: sends them, and says when each is due again.
    """

    def __init__(self, database: Database, *, deliverer: Deliverer) -> None:
        self._database = database
        self._deliverer = deliverer
        self._woken = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._log = logs.logger("resend")

    async def resend(self, notification_id: UUID, *, by: str, reason: str) -> NotificationDetail:
        """A copy of a notification, recorded and about to be sent.

        Args:
            notification_id: what is sent again: the very same text to the very same recipient.
            by: who wants it.
            reason: why.

        Raises:
            Problem: of kind not found; of kind conflict, `notification-queued`, when the original is still on its way.
        """
        copy_id = uuid4()
        if not await resends.resend(self._database, notification_id, notification_id=copy_id, by=by, reason=reason):
            if await store.detail(self._database, notification_id) is None:
                raise not_found("notification")
            raise conflict("notification-queued", "This notification is still on its way; it is not sent twice.")
        self._log.info("resent", notification_id=str(copy_id), original_id=str(notification_id), by=by)
        self._woken.set()
        copy = await store.detail(self._database, copy_id)
        if copy is None:
            raise not_found("notification")
        return copy

    async def open(self) -> None:
        """Starts seeing to what is due."""
        self._task = asyncio.create_task(self._run(), name="resend")

    async def close(self) -> None:
        """Lets the attempts in flight end, for a second; one that is cut off is in doubt, and seen to another time."""
        self._closing = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_LAST_WAIT)
            await ended(self._task)

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._catch_up()
            except Problem as problem:
                self._log.warning("resend_waits", problem=problem.code)
            except Exception as error:  # noqa: BLE001 - it must outlive every surprise
                self._log.error("resend_failed", error=type(error).__name__, exc_info=error)
            await self._woken_or_swept()

    async def _catch_up(self) -> None:
        while not self._closing and (due := await resends.due(self._database, limit=_BATCH, rest=_REST)):
            results = await asyncio.gather(*(self._see_to(each) for each in due), return_exceptions=True)
            for each in results:
                if isinstance(each, BaseException):
                    raise each

    async def _woken_or_swept(self) -> None:
        try:
            async with asyncio.timeout(SWEEP):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    async def _see_to(self, notification_id: UUID) -> None:
        notification = await resends.recorded(self._database, notification_id)
        if notification is None:
            return
        standing = await self._deliverer.deliver(notification)
        if standing.progress in {Progress.RETRY, Progress.WAIT}:
            await resends.again(self._database, notification_id, after=standing.after or _PAUSE)
        else:
            await resends.settled(self._database, notification_id)
