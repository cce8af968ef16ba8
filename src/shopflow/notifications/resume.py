"""Replays by itself what was parked because a neighbour was away, once that neighbour answers again (R56).

One parked message asks for all: its very own questions, its order and its user, are asked anew. What is parked for any
other reason is an operator's business.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from shopflow.clients.auth import AuthClient
from shopflow.clients.orders import OrdersClient
from shopflow.kit import logs
from shopflow.kit.cancellations import ended
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.problems import Kind, Problem
from shopflow.notifications import dead_letters
from shopflow.notifications.dead_letters import Away

ACTOR: Final = "auto-replay"
"""Who did it, in the rows that this leaves."""

_REASON: Final = "the neighbours answer again"
_BATCH: Final = 20
_PAUSE: Final = 0.4  # seconds between two batches: at most 50 messages a second, ten times the consumer's peak
_REST: Final = 10.0  # seconds until a message whose questions had no answer is looked at again
_LOOK: Final = 5.0  # seconds between two looks at how many are open, where nothing is replayed


class Replayer(Protocol):
    """Whoever puts one parked message back."""

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str | None) -> None: ...


class Resume:
    """Looks for such messages until closed; several instances share them.

    Args:
        database: where they are kept.
        auth: the one neighbour.
        orders: the other.
        replayer: puts them back.
        metrics: how many parked messages are open, and how many went back by themselves.
        interval: seconds between two looks; 0: only the number of open ones is kept up.
    """

    def __init__(
        self,
        database: Database,
        *,
        auth: AuthClient,
        orders: OrdersClient,
        replayer: Replayer,
        metrics: Metrics,
        interval: float,
    ) -> None:
        self._database = database
        self._auth = auth
        self._orders = orders
        self._replayer = replayer
        self._interval = interval
        self._task: asyncio.Task[None] | None = None
        self._log = logs.logger("resume")
        self._open = metrics.gauge("dead_letters_open", "Parked messages that nobody has dealt with.")
        self._resumed = metrics.counter(
            "dead_letters_resumed_total", "Parked messages that were replayed because their neighbour is back."
        )

    async def open(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run(), name="resume")

    async def close(self) -> None:
        """Stops; what was begun is safe to be done again."""
        if self._task is not None:
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            try:
                if self._interval:
                    await self._resume()
                self._open.set(await dead_letters.number_open(self._database))
            except Problem as problem:
                self._log.warning("not_resumed", problem=problem.code)
            except Exception as error:  # noqa: BLE001 - it must outlive every surprise
                self._log.error("not_resumed", error=type(error).__name__, exc_info=error)
            await asyncio.sleep(self._interval or _LOOK)

    async def _resume(self) -> None:
        while first := await dead_letters.due(self._database, limit=1, rest=_REST):
            if not await self._answered(first[0]):
                return
            others = await dead_letters.due(self._database, limit=_BATCH - 1, rest=_REST)
            await self._replay([*first, *others])
            await asyncio.sleep(_PAUSE)

    async def _answered(self, away: Away) -> bool:
        """Whether both neighbours answer this message's questions; that there is no such order is an answer too."""
        answers = await asyncio.gather(
            self._orders.order(away.order_id), self._auth.profile(away.user_id), return_exceptions=True
        )
        for each in answers:
            if isinstance(each, BaseException) and not isinstance(each, Problem):
                raise each
        return not any(isinstance(each, Problem) for each in answers)

    async def _replay(self, batch: Sequence[Away]) -> None:
        for each in batch:
            try:
                await self._replayer.replay(each.id, by=ACTOR, reason=_REASON)
            except Problem as problem:
                if problem.kind is Kind.UNAVAILABLE:
                    raise
                self._log.warning("not_resumed", dead_letter_id=str(each.id), problem=problem.code)
            else:
                self._resumed.inc()
