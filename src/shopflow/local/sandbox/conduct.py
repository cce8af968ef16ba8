"""How a request to a provider ends: well, or in the way the fault that meets it says.

Both providers share it; each brings its own way of accepting and of putting an error into words.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import assert_never

from aiohttp import web

from shopflow.local.sandbox.faults import Fault

Accept = Callable[[], web.Response]
Refuse = Callable[[int, str | int | None, str | None], web.Response]

GARBAGE = "<!doctype html><title>502</title><h1>Bad gateway</h1>"
REDIRECTIONS = range(300, 400)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def conducted(
    request: web.Request, fault: Fault | None, *, accept: Accept, refuse: Refuse, latency: float
) -> web.Response:
    """Answer as the fault says, or accept after `latency` seconds when there is none."""
    if fault is None:
        return await _accepted_after(latency, request, accept=accept)
    match fault.mode:
        case "error":
            response = refuse(fault.status or 500, fault.code, fault.message)
        case "throttle":
            response = _throttled(fault, refuse)
        case "stall":
            response = await _accepted_after(fault.seconds, request, accept=accept)
        case "garbage":
            response = _garbage(fault)
        case "refuse":
            response = _cut(request, reset=True)
        case "accept_then_drop":
            accept()
            response = _cut(request, reset=False)
        case _:
            assert_never(fault.mode)
    return response


async def _accepted_after(seconds: float, request: web.Request, *, accept: Accept) -> web.Response:
    if seconds:
        await asyncio.sleep(seconds)
    if request.transport is None or request.transport.is_closing():
        return web.Response(status=499)  # the caller hung up: nothing was accepted, nobody reads this
    return accept()


def _throttled(fault: Fault, refuse: Refuse) -> web.Response:
    response = refuse(429, fault.code, fault.message)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _garbage(fault: Fault) -> web.Response:
    text = GARBAGE if fault.body is None else fault.body
    response = web.Response(
        status=fault.status or 200, body=text.encode(), headers={"Content-Type": fault.content_type or "text/html"}
    )
    if response.status in REDIRECTIONS:
        response.headers["Location"] = fault.location or "http://127.0.0.1:9/elsewhere"
    return response


def _cut(request: web.Request, *, reset: bool) -> web.Response:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        request.transport.abort()
    return web.Response(status=499)  # never reaches anybody: the connection is gone
