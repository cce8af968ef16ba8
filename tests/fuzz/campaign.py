"""One campaign of Schemathesis against one service: rounds of generated requests, and every request by every caller.

Making up a request costs ten times what answering it does. So each one that Schemathesis makes up for one caller is
sent again, byte for byte, with the token of every other, and each answer has to conform. Nothing is retried or excused
but what `excuses` names.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

import requests
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.engine import from_schema
from schemathesis.engine.events import EngineFinished, NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import Interaction
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi import checks as known_checks
from tests.fuzz.excuses import reason_for
from tests.fuzz.figures import Figures
from tests.fuzz.links import LINKS, exemplified, linked
from tests.fuzz.permissions import ENDS_TOKENS, may_succeed
from tests.fuzz.stand import CALLERS, Stand

PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")

KNOWN: Final = 3
"""Things of each kind that a round is told of."""

CONFORMANCE: Final = [
    schemathesis.checks.not_a_server_error,
    known_checks.status_code_conformance,
    known_checks.content_type_conformance,
    known_checks.response_headers_conformance,
    known_checks.response_schema_conformance,
]

UNTOLD: Final = {"Authorization", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
OTHER: Final = "other methods of these paths"


class Campaign:
    """Rounds against one service.

    Args:
        document: the OpenAPI document it serves.
        url: where it answers.
        made: a token of a new caller of a kind.
        restored: undoes what a request has done to the callers themselves.
    """

    def __init__(
        self,
        document: dict[str, Any],
        url: str,
        *,
        made: Callable[[str], str | None],
        restored: Callable[[], None],
    ) -> None:
        self.figures = Figures()
        self._made = made
        self._restored = restored
        self._document = linked(document)
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False
        self._tokens: dict[str, str | None] = {}
        load_all_checks()

    def operations(self) -> set[str]:
        """What the document describes, as `GET /orders`."""
        return {f"{method.upper()} {path}" for path, item in self._document["paths"].items() for method in item}

    def unmet(self) -> set[str]:
        """The operations that have not done yet what they are for."""
        return {each for each in self.operations() if not self.figures.succeeded(each)}

    def round(
        self,
        caller: str,
        *,
        seed: int,
        examples: int,
        most: int,
        phases: Sequence[str] = PHASES,
    ) -> None:
        """Makes up requests for one caller, sends them for all, and adds to the figures.

        Args:
            caller: whose answers Schemathesis learns from.
            seed: the same seed makes up the same first requests.
            examples: how many to make up for each operation.
            most: after how many requests it may stop.
            phases: which of PHASES.
        """
        self._tokens = {name: self._made(name) for name in CALLERS}
        schema = schemathesis.openapi.from_dict(
            exemplified(self._document, self._known(caller)),
            config=self._config(seed, examples, phases, self._tokens[caller]),
        )

        @schema.hook
        def filter_failure(_: HookContext, failure: Failure, case: Case[Any], response: Any) -> bool:
            return not self._excused(failure, case, response)

        @schema.hook
        def after_call(_: HookContext, case: Case[Any], response: Any) -> None:
            self._note(case, caller, response)
            for name in CALLERS:
                if name != caller:
                    self._send_again(case, response.request, name)

        started, before = monotonic(), self.figures.requests
        stream = from_schema(schema).execute()
        for event in stream:
            self._read(event)
            if self.figures.requests - before >= most:
                stream.stop()
        self.figures.seconds += monotonic() - started

    def _known(self, caller: str) -> dict[str, list[str]]:
        """Ids that the caller's lists show, by the parameter that takes them; none of sessions: one is its own."""
        found: dict[str, list[str]] = {}
        headers = {"Authorization": f"Bearer {self._tokens[caller]}"}
        for link in LINKS:
            method, path = link.source.split()
            if method == "GET" and path in self._document["paths"] and link.name != "session_id":
                answer = self._http.get(self._url + path, headers=headers, timeout=30)
                found[link.name] = [each["id"] for each in answer.json().get("data", [])[:KNOWN]]
        return found

    def _config(self, seed: int, examples: int, phases: Sequence[str], token: str | None) -> SchemathesisConfig:
        return SchemathesisConfig.from_dict(
            {
                "seed": seed,
                "base-url": self._url,
                "headers": {} if token is None else {"Authorization": f"Bearer {token}"},
                "continue-on-failure": True,
                "request-timeout": 30,
                "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
                "phases": {name: {"enabled": name in phases} for name in PHASES},
                "checks": {"enabled": True},
                "suppress-health-check": ["all"],
            }
        )

    def _send_again(self, case: Case[Any], request: requests.PreparedRequest, caller: str) -> None:
        again = request.copy()
        again.headers.pop("Authorization", None)
        if (token := self._tokens[caller]) is not None:
            again.headers["Authorization"] = f"Bearer {token}"
        answer = schemathesis.Response.from_requests(self._http.send(again, timeout=30, allow_redirects=False), True)
        self._note(case, caller, answer)
        try:
            case.validate_response(answer, checks=CONFORMANCE)
        except FailureGroup as found:
            for failure in found.exceptions:
                if not self._excused(failure, case, answer):
                    self._found(failure, caller, _shown(again, answer))

    def _note(self, case: Case[Any], caller: str, response: Any) -> None:
        label, status = case.operation.label, response.status_code
        if response.request.method != case.operation.method.upper():  # another method was tried on the same path
            label = OTHER
        elif status < 400 and not may_succeed(caller, label, is_protected="security" in case.operation.definition.raw):
            self.figures.failures.setdefault(f"{label}: lets {caller} in", _shown(response.request, response))
        self.figures.sent[label, caller, status] += 1
        if label in ENDS_TOKENS and status < 300:
            self._restored()

    def _excused(self, failure: Failure, case: Case[Any], response: Any) -> bool:
        reason = reason_for(failure, case, response)
        if reason:
            self.figures.excused[reason] += 1
        return reason is not None

    def _found(self, failure: Failure, caller: str, shown: str) -> None:
        status = f" {failure.status_code}" if isinstance(failure, UndefinedStatusCode) else ""
        key = f"{failure.operation}: {failure.title}{status}"
        self.figures.failures.setdefault(key, f"as {caller}: {failure.message}\n{shown}")

    def _read(self, event: Any) -> None:
        match event:
            case ScenarioFinished():
                for case_id, checks in event.recorder.checks.items():
                    for check in checks:
                        if check.failure_info is not None:
                            interaction = event.recorder.interactions.get(case_id)
                            self._found(check.failure_info.failure, event.phase, _interaction(interaction))
            case NonFatalError():
                self.figures.failures.setdefault(f"{event.label}: not tested", f"{event.value!r}")
            case EngineFinished():
                for failure in event.failures:
                    self._found(failure, "the whole round", "")


def campaign_on(stand: Stand, service: str, document: dict[str, Any]) -> Campaign:
    """A campaign against one of the running services, to be run in a thread of its own."""
    loop = asyncio.get_running_loop()

    def made(caller: str) -> str | None:
        return asyncio.run_coroutine_threadsafe(stand.token(caller), loop).result()

    def restored() -> None:
        asyncio.run_coroutine_threadsafe(stand.restore(), loop).result()

    return Campaign(document, stand.url(service), made=made, restored=restored)


def _interaction(interaction: Interaction | None) -> str:
    if interaction is None or interaction.response is None:
        return "no answer"
    return _shown(interaction.response.request, interaction.response)


def _shown(request: requests.PreparedRequest, response: Any) -> str:
    body = request.body or b""
    sent = body if isinstance(body, bytes) else str(body).encode()
    headers = {name: value for name, value in request.headers.items() if name not in UNTOLD}
    answered = f"{response.status_code} {response.content[:800]!r}"
    return f"{request.method} {request.url}\n{headers}\n{sent[:1500]!r}\n→ {answered}"
