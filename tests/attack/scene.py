"""What every attack works with: the target, the people it has made, the secrets it has used, and time.

Whatever is asked through here is watched: no attack has to look for a stack trace by itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from tests.attack import watch
from tests.attack.findings import Notes, Severity
from tests.attack.target import Target
from tests.attack.wire import NOTHING, Answer, Headers, exchange, request

_DICE: Final = SystemRandom()
JSON: Final = ("Content-Type", "application/json")
_PATIENCE: Final = (1.0, 3.0, 6.0, 10.0)


@dataclass
class Person:
    """A registered account that the attack made, or the admin that it was told of; where it calls from."""

    email: str
    password: str
    id: str = ""
    access: str = ""
    refresh: str = ""
    address: str = "127.0.0.1"
    orders: list[str] = field(default_factory=list)


class CannotGoOn(Exception):
    """What an attack needs first did not work. The message says what."""


class Scene:
    """One run of the attack.

    Args:
        target: what is attacked.
        seconds: how long it may take in all.
        share: how much of what a run of five minutes tries; by default what the seconds allow.
    """

    def __init__(self, target: Target, *, seconds: float = 300, share: float | None = None) -> None:
        self.target = target
        self.notes = Notes()
        self.mark = uuid4().hex[:10]
        self.share = min(1.0, seconds / 300) if share is None else share
        self.ends = monotonic() + seconds
        self.secrets: dict[str, str] = {}
        self.personal: set[str] = set()
        self.people: list[Person] = []
        self.shared: list[Person] = []
        self.sharing = asyncio.Lock()
        self._network = 1 + _DICE.randrange(200)
        self._addresses = count(1)

    def times(self, most: int, *, least: int = 1) -> int:
        """How often to try in this run what a run of five minutes tries `most` times."""
        return max(least, round(most * self.share))

    def address(self) -> str:
        """A loopback address that nobody has called from in this run."""
        number = next(self._addresses)
        return f"127.{self._network}.{number // 250}.{1 + number % 250}"

    def for_one_attack(self) -> "Scene":
        """The same scene with notes of its own."""
        own = copy(self)
        own.notes = Notes()
        return own

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        raw: bytes | None = None,
        headers: Headers = (),
        source: str | None = None,
        within: float = 30.0,
        patient: bool = True,
    ) -> Answer:
        """One watched request: `body` is sent as JSON, `raw` as it is.

        Who is patient asks again when the service is busy and says when to come back: a slow machine is no weak one.
        """
        sent = [*headers]
        if token is not None:
            sent.append(("Authorization", f"Bearer {token}"))
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None and not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(JSON)
        bytes_ = request(method, path, headers=sent, body=raw)
        base = self.target.bases[service]
        answer = NOTHING
        for wait in (0.0, *_PATIENCE):
            await asyncio.sleep(wait)
            answer = next(iter(await exchange(base, bytes_, source=source, within=within)), NOTHING)
            self.look(f"{method} {service}{path[:200]}", answer)
            if answer.status != 503 or not patient:
                break
        return answer

    def look(self, asked: str, answer: Answer) -> None:
        """Notes an answer, and what every answer must be free of."""
        self.notes.saw(answer.word)
        hidden = [text for name, text in self.secrets.items() if "password" in name]
        for finding in watch.complaints(asked, answer, hidden=hidden):
            self.notes.finds(finding.title, finding.evidence, finding.severity)

    def unless(self, holds: bool, title: str, evidence: str, severity: Severity) -> None:
        """Notes a finding when something does not hold."""
        if not holds:
            self.notes.finds(title, evidence, severity)

    async def together(self, *works: Callable[[], Awaitable[Answer]]) -> list[Answer]:
        """Does all at once."""
        return list(await asyncio.gather(*(work() for work in works)))
