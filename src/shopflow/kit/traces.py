"""W3C Trace Context (PRD 10.4): read it from the caller, carry it through HTTP and AMQP, begin one where there is none.

Logs and problems name the trace id of the current context. Nothing in here exports spans.
"""

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
_ZERO_TRACE: Final = "0" * 32
_ZERO_SPAN: Final = "0" * 16
_MAX_STATE: Final = 512


class Trace(NamedTuple):
    """One step of a trace: who we are in it, and what the caller asked us to pass on."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str | None

    @property
    def traceparent(self) -> str:
        """The header that names this step as the parent of the next."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def headers(self) -> dict[str, str]:
        """What goes with every call and message that this step makes."""
        carried = {"traceparent": self.traceparent}
        if self.state:
            carried["tracestate"] = self.state
        return carried


current: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The trace of the request or message being handled."""


def joined(traceparent: str | None, tracestate: str | None = None) -> Trace:
    """A new step in the caller's trace, or in a new one when the caller sent none or a malformed one."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent and len(traceparent) <= _MAX_STATE else None
    if found is None or found["trace"] == _ZERO_TRACE or found["span"] == _ZERO_SPAN:
        return Trace(secrets.token_hex(16), secrets.token_hex(8), sampled=False, state=None)
    state = tracestate if tracestate and len(tracestate) <= _MAX_STATE and tracestate.isprintable() else None
    return Trace(found["trace"], secrets.token_hex(8), sampled=bool(int(found["flags"], 16) & 1), state=state)


def joined_from(carrier: Mapping[str, object]) -> Trace:
    """As `joined`, from the headers of a message, whose values can be anything."""
    traceparent, tracestate = carrier.get("traceparent"), carrier.get("tracestate")
    return joined(
        traceparent if isinstance(traceparent, str) else None, tracestate if isinstance(tracestate, str) else None
    )


def trace_id() -> str | None:
    """The id of the current trace, or None outside of one."""
    trace = current.get()
    return trace.trace_id if trace else None


def carried() -> dict[str, str]:
    """The headers that hand the current trace on; empty outside of one."""
    trace = current.get()
    return trace.headers() if trace else {}
