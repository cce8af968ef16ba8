"""Puts the sandbox together and serves it until it is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from shopflow.local.sandbox import page
from shopflow.local.sandbox.callbacks import Callbacks
from shopflow.local.sandbox.control import Control
from shopflow.local.sandbox.faults import Faults
from shopflow.local.sandbox.mailbox import Mailbox
from shopflow.local.sandbox.problems import as_problems
from shopflow.local.sandbox.ses import Ses
from shopflow.local.sandbox.sns import CERTIFICATE_PATH
from shopflow.local.sandbox.twilio import Twilio

LARGEST_REQUEST = 10 * 1024 * 1024
SECONDS_TO_FINISH = 0.5
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TWILIO_MESSAGES = "/2010-04-01/Accounts/{sid}/Messages.json"


def build(*, callbacks: str | None, latency_ms: int, keep: int, keep_content: int) -> web.Application:
    """Assemble the application; see `serve` for the arguments."""
    mailbox, faults = Mailbox(keep=keep, keep_content=keep_content), Faults()
    latency = latency_ms / 1000
    ses = Ses(mailbox, faults, latency=latency)
    twilio = Twilio(mailbox, faults, latency=latency)
    webhooks = None if callbacks is None else Callbacks(mailbox, twilio, target=callbacks)
    app = web.Application(middlewares=[as_problems], client_max_size=LARGEST_REQUEST)
    app.on_response_prepare.append(_discreet)
    app.add_routes(
        [
            web.post("/v2/email/outbound-emails", ses.send),
            web.post(TWILIO_MESSAGES, twilio.send),
            web.get(TWILIO_MESSAGES, twilio.list_messages),
            *Control(mailbox, faults, twilio, webhooks).routes(),
            *page.routes(),
        ]
    )
    if webhooks is not None:
        app.add_routes(
            [web.get(CERTIFICATE_PATH, page.constant(lambda: webhooks.signer.certificate, "application/x-pem-file"))]
        )
    return app


async def _discreet(_: web.Request, answer: web.StreamResponse) -> None:
    """No answer names the versions of its software, and no page of another place gets what customers were sent."""
    answer.headers["Server"] = "sandbox"  # the library's own is there already
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)


@asynccontextmanager
async def opened(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    callbacks: str | None = None,
    latency_ms: int = 0,
    keep: int = 100_000,
    keep_content: int = 2_000,
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the base URL. Port 0 takes any free one.

    Raises OSError when the address cannot be had.
    """
    app = build(callbacks=callbacks, latency_ms=latency_ms, keep=keep, keep_content=keep_content)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SECONDS_TO_FINISH)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        yield f"http://{_named(host)}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 3010,
    callbacks: str | None = None,
    latency_ms: int = 0,
    keep: int = 100_000,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return.

    `callbacks` is the base URL of the notification-service that hears of deliveries; `latency_ms` is how long a
    provider takes for each message; `keep` bounds the messages remembered; `on_ready` is told the base URL once.
    Raises OSError when the address cannot be had.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(host=host, port=port, callbacks=callbacks, latency_ms=latency_ms, keep=keep) as url:
        if on_ready is not None:
            on_ready(url)
        await stop.wait()


def _named(host: str) -> str:
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
