"""The failures a test or a person has asked the sandbox for, and how long each of them lasts.

It decides which fault meets a request; `conduct` carries it out.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shopflow.local.sandbox.mailbox import ChannelName

Mode = Literal["error", "throttle", "stall", "refuse", "garbage", "accept_then_drop"]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way to fail.

    `count` is the number of requests it still meets, endless when absent; `to` limits it to one recipient.
    `status`, `code` and `message` shape an `error`; `seconds` is the length of a `stall` (nothing is accepted from a
    caller who hangs up during it); `retry_after` seconds go with a `throttle`; `status`, `body`, `content_type`
    and `location` shape `garbage`. `refuse` cuts the connection before anything is accepted, `accept_then_drop` after
    it was.
    """

    channel: ChannelName
    mode: Mode
    count: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    to: Annotated[str, Meta(min_length=1, max_length=320)] | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    code: Annotated[str, Meta(min_length=1, max_length=100)] | Annotated[int, Meta(ge=0, le=999_999)] | None = None
    message: Annotated[str, Meta(max_length=1000)] | None = None
    seconds: Annotated[float, Meta(ge=0, le=600)] = 30.0
    retry_after: Annotated[int, Meta(ge=0, le=3600)] | None = None
    body: Annotated[str, Meta(max_length=100_000)] | None = None
    location: Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[\x21-\x7e]+$")] | None = None
    content_type: Annotated[str, Meta(pattern=r"^[\x21-\x7e ]{3,100}$")] | None = None


class Faults:
    """Faults in the order they were asked for; the first that fits a request meets it."""

    def __init__(self) -> None:
        self._active: list[Fault] = []
        self.version = 0
        self.asked: dict[ChannelName, int] = {"email": 0, "sms": 0}
        self.met: dict[ChannelName, int] = {"email": 0, "sms": 0}

    def add(self, fault: Fault) -> None:
        """Let a fault meet the requests to come, after those asked for before it."""
        self._active.append(fault)
        self.version += 1

    def take(self, channel: ChannelName, *, to: str) -> Fault | None:
        """Return the fault that meets this request, used up by one. Ask once for each request: asking is counted."""
        self.asked[channel] += 1
        for position, fault in enumerate(self._active):
            if fault.channel == channel and fault.to in {None, to}:
                self._use(position, fault)
                return fault
        return None

    def active(self) -> list[Fault]:
        """List the faults still to meet a request."""
        return list(self._active)

    def clear(self, channel: ChannelName | None = None) -> None:
        """End the faults of one channel, or all."""
        self._active = [fault for fault in self._active if channel not in {None, fault.channel}]
        self.version += 1

    def _use(self, position: int, fault: Fault) -> None:
        self.met[fault.channel] += 1
        if fault.count is None:
            return
        self.version += 1
        if fault.count == 1:
            del self._active[position]
        else:
            self._active[position] = msgspec.structs.replace(fault, count=fault.count - 1)
