"""The wires of a schedule but for the broker's: to the databases, to the neighbours, to the providers.

Each is a class of the product's, or keeps to its protocol, so that the product's own code stands on both sides of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from tests.simulation.database import EPOCH, Ground
from tests.simulation.world import World

from shopflow.kit.encoding import encoded
from shopflow.kit.metrics import Metrics
from shopflow.kit.outbox import CLAIM
from shopflow.kit.peer import DEADLINE, Answer, Peer
from shopflow.kit.postgres import Database, Row
from shopflow.kit.problems import Problem, unavailable
from shopflow.notifications.channels import (
    ATTEMPT_SECONDS,
    Accepted,
    Adopted,
    Failed,
    InDoubt,
    Misconfigured,
    Outcome,
    Outgoing,
    Rejected,
    Rejection,
    Sighting,
)
from shopflow.notifications.notification import ChannelName

_STATEMENT_SECONDS: Final = 5.0


class LostConnection(Exception):
    """The connection is gone, and with it the answer."""


class SimulatedDatabase(Database):
    """One service's database behind a wire. A statement happens or not; its outcome may stay unknown."""

    def __init__(self, world: World, ground: Ground, service: str, *, rewritten: Callable[[str], str]) -> None:
        super().__init__("")
        self._rewritten = rewritten
        self._world = world
        self._ground = ground
        self._service = service

    async def fetch(self, statement: str, *parameters: Any) -> list[Row]:
        return list(await self._asked(self._rows, statement, *parameters))

    async def fetchrow(self, statement: str, *parameters: Any) -> Row | None:
        rows = await self.fetch(statement, *parameters)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *parameters: Any) -> Any:
        row = await self.fetchrow(statement, *parameters)
        return None if row is None else next(iter(row.values()))

    async def execute(self, statement: str, *parameters: Any) -> str:
        return str(await self._asked(self._ground.execute, statement, *parameters))

    async def _asked(self, run: Any, statement: str, *parameters: Any) -> Any:
        def effect() -> Any:
            self._ground.set_time(self._world.loop.time())
            return run(self._service, self._rewritten(statement), *parameters)

        asking = self._world.ask(
            effect, lost=_away, rates=self._world.weather.database, what=f"{self._service} {_name(statement)}"
        )
        try:
            async with asyncio.timeout(_STATEMENT_SECONDS):
                return await asking
        except TimeoutError as error:
            raise _away() from error

    def _rows(self, service: str, statement: str, *parameters: Any) -> list[Any]:
        """What is not ordered by the statement comes in any order, but in the same one for the same seed."""
        is_claim = statement == CLAIM
        if is_claim and self._ground.nothing_waits:
            return []  # known without asking, which relays do every second
        rows = self._ground.fetch(service, statement, *parameters)
        if is_claim and not rows:
            self._ground.look()
        if len(rows) > 1 and "RETURNING" in statement:
            rows.sort(key=lambda row: str(tuple(row)))
            self._world.dice.shuffle(rows)
        return rows


def _away() -> Problem:
    return unavailable("database-unavailable", "The database does not answer; try again.")


def _name(statement: str) -> str:
    """The beginning of a statement, for the trace."""
    return " ".join(statement.split())[:60]


class SimulatedPeer(Peer):
    """A neighbour that knows what it was told to know."""

    def __init__(self, world: World, name: str, metrics: Metrics, *, known: Mapping[str, msgspec.Struct]) -> None:
        super().__init__(name, "", metrics=metrics)
        self._world = world
        self._known = known

    async def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:  # noqa: ARG002 - as the wire's
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._world.ask(
                    lambda: self._answer(path), lost=LostConnection, rates=self._world.weather.neighbours,
                    what=f"{method} {self.name}",
                )  # fmt: skip
        except (TimeoutError, LostConnection) as error:
            raise unavailable(f"{self.name}-unavailable", f"{self.name} does not answer.") from error

    def _answer(self, path: str) -> Answer:
        if self._world.happens(self._world.weather.neighbours.lost):
            return Answer(503, b"{}", 1)
        found = self._known.get(path)
        return Answer(404, b"{}", None) if found is None else Answer(200, encoded(found), None)


class Accepting(msgspec.Struct, frozen=True):
    """A message that a provider took."""

    reference: str
    channel: ChannelName
    outgoing: Outgoing
    at: float


class Provider:
    """What both providers know, whichever process asks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: list[Accepting] = []


class SimulatedChannel:
    """A channel to one provider; keeps to `shopflow.notifications.channels.Channel`."""

    def __init__(self, provider: Provider, name: ChannelName) -> None:
        self._provider = provider
        self._world = provider.world
        self._name = name

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Makes one attempt."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._world.ask(
                    lambda: self._decide(outgoing), lost=LostConnection, rates=self._world.weather.provider,
                    what=f"{self._name} is sent",
                )  # fmt: skip
        except (TimeoutError, LostConnection) as error:
            return InDoubt(type(error).__name__)

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Sighting:
        """Looks into the SMS provider's list; the e-mail provider has none."""
        if self._name is ChannelName.EMAIL:
            return None
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._world.ask(
                    lambda: self._listed(outgoing, since), lost=LostConnection, rates=self._world.weather.provider,
                    what=f"{self._name} is looked for",
                )  # fmt: skip
        except (TimeoutError, LostConnection) as error:
            return Failed(code=type(error).__name__, reason="the list cannot be read")

    def _decide(self, outgoing: Outgoing) -> Outcome:
        world = self._world
        if world.happens(world.weather.refusals):
            return world.dice.choices(_REFUSALS, weights=_WEIGHTS)[0]
        reference = f"{self._name}-{len(self._provider.taken) + 1}"
        self._provider.taken.append(Accepting(reference, self._name, outgoing, world.loop.time()))
        return Accepted(reference)

    def _listed(self, outgoing: Outgoing, since: datetime) -> Sighting:
        for each in self._provider.taken:
            at = datetime.fromtimestamp(EPOCH + each.at, UTC)
            if (each.outgoing.to, each.outgoing.text) == (outgoing.to, outgoing.text) and at >= since:
                return Adopted(each.reference)
        return None


_REFUSALS: Final[tuple[Outcome, ...]] = (
    Failed("503", "not now"),
    Failed("429", "slower", throttled=True, retry_after=5.0),
    Failed("throttled", "slower", throttled=True),
    Misconfigured("401", "who are you"),
    Rejected(Rejection.RECIPIENT, "21211", "no such number"),
)
_WEIGHTS: Final = (6, 1, 1, 1, 1)
