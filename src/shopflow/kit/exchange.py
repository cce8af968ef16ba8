"""One request and its answer on the wire: deadlines for what the client sends and takes, and the answer's headers.

It knows nothing of routes and problems of its own: it stands between the server and the handler, for one request.
"""

import asyncio
from math import inf
from time import perf_counter
from typing import Any, Final, cast

from litestar.types import HTTPReceiveMessage, Message, Receive, Send

from shopflow.kit import logs
from shopflow.kit.admission import Bounds, Lane, overloaded
from shopflow.kit.answer_headers import Headers, completed
from shopflow.kit.heads import Head
from shopflow.kit.problems import Kind, Problem

_SLICE: Final = 32 * 1024
_LARGE: Final = 4 * _SLICE
_DRAINED: Final = 8 * 1024 * 1024
_DRAIN_WITHIN: Final = 2.0
_CLOSE: Final = (b"connection", b"close")
_CLOSING: Final = frozenset({408, 413, 431})
"""Answers behind which the rest of the request may still come: it must not be read as the next one."""


class Exchange:
    """The wire of one request, as its handler may use it.

    Args:
        head: what its headers say.
        scope: the request.
        receive: the server's.
        send: the server's.
        lane: where the time spent waiting for the client is not counted as work.
        bounds: the deadlines.
    """

    __slots__ = (
        "_bounds", "_deadline", "_has_more", "_head", "_headless", "_lane", "_missing", "_receive", "_send", "answered",
        "further", "held", "scope", "status",
    )  # fmt: skip

    def __init__(
        self, head: Head, scope: dict[str, Any], receive: Receive, send: Send, *, lane: Lane, bounds: Bounds
    ) -> None:
        self._head = head
        self._receive = receive
        self._send = send
        self._lane = lane
        self._bounds = bounds
        self._headless = scope["method"] == "HEAD"
        self._has_more = head.has_body
        self._missing = inf if head.declared is None else head.declared
        self._deadline: float | None = None
        self.scope = scope
        self.further: Headers = []
        self.status = 500
        self.answered: float | None = None
        self.held = 0

    async def receive(self) -> HTTPReceiveMessage:
        """The next part of the body.

        Raises:
            Problem: of kind timed-out, when the whole body is not there in time; of kind unavailable, when the bodies
                of many take all the memory there is for them.
        """
        if not self._has_more:
            return cast("HTTPReceiveMessage", await self._receive())
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._bounds.body_within
        try:
            message: Any = await self._part(self._deadline)
        except TimeoutError:
            raise Problem(
                Kind.TIMED_OUT, "body-too-slow", f"The body was not there after {self._bounds.body_within:g} s."
            ) from None
        self._hold(len(message.get("body", b"")))
        if self._lane.has_no_room(self.held):
            raise overloaded()
        return cast("HTTPReceiveMessage", message)

    async def send(self, message: Message) -> None:
        """Sends a part of the answer; behind its last part, what is left of the body is read and thrown away."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(list(message["headers"]))
            await self._send(message)
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        if self._headless:
            message["body"] = b""
        await (self._slices(message) if len(message["body"]) > _LARGE else self._send(message))
        if not message.get("more_body"):
            self.answered = perf_counter()
            if self._has_more and self.status != 408 and not self._head.expects:
                await self._drained()

    def _completed(self, own: Headers) -> Headers:
        usage = self.scope.get("rate_limit")
        counted = [(name.lower().encode(), value.encode()) for name, value in usage.headers().items()] if usage else []
        # A coding of the transfer hides where a request ends; who sends one gets a connection for it alone (H-7).
        closing = [_CLOSE] if self._head.codings or self.status in _CLOSING else []
        return completed(own, self.further, counted, closing)

    def _hold(self, size: int) -> None:
        """Bytes that stay in memory until the request ends; the edge gives them back then."""
        self.held += size
        self._lane.held += size

    async def _part(self, deadline: float) -> HTTPReceiveMessage:
        self._lane.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                message = cast("HTTPReceiveMessage", await self._receive())
        finally:
            self._lane.waiting -= 1
        part: Any = message
        self._missing -= len(part.get("body", b""))
        if self._missing <= 0:  # the server says only with the next part, and sometimes much later, that there is none
            part["more_body"] = False
        self._has_more = bool(part.get("more_body"))
        return message

    async def _slices(self, message: Any) -> None:
        """A large answer goes out as fast as it is taken: what is not taken is not held in memory once for each."""
        body, ends = memoryview(message["body"]), not message.get("more_body")
        self._hold(len(body))
        self._lane.waiting += 1
        try:
            async with asyncio.timeout(self._lane.answer_within):
                for start in range(0, len(body), _SLICE):
                    more = not ends or start + _SLICE < len(body)
                    part: Message = {
                        "type": "http.response.body", "body": bytes(body[start : start + _SLICE]), "more_body": more,
                    }  # fmt: skip
                    await self._send(part)
        except TimeoutError:  # an answer that ends before its length does: the server closes the connection
            logs.logger("http").info("answer_not_taken")
        finally:
            self._lane.waiting -= 1

    async def _drained(self) -> None:
        """Reads on for a moment, so that who still sends hears the answer instead of a connection that breaks."""
        rest = _DRAINED
        deadline = asyncio.get_running_loop().time() + _DRAIN_WITHIN
        try:
            while self._has_more and rest > 0:
                part: Any = await self._part(deadline)
                rest -= len(part.get("body", b""))
        except TimeoutError:
            return
