"""The mailbox page: three static files, read once, needing nothing from elsewhere."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Answer = Callable[[web.Request], Awaitable[web.Response]]


def routes() -> list[web.AbstractRouteDef]:
    """List the page's paths."""
    return [
        web.get("/", constant(_read("mailbox.html"), "text/html")),
        web.get("/mailbox.css", constant(_read("mailbox.css"), "text/css")),
        web.get("/mailbox.js", constant(_read("mailbox.js"), "text/javascript")),
        web.get("/favicon.ico", constant(_read("icon.svg"), "image/svg+xml")),
    ]


def constant(body: Callable[[], bytes], content_type: str) -> Answer:
    """Make a handler that always answers these bytes."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body(), content_type=content_type, headers=HEADERS, charset="utf-8")

    return answer


def _read(name: str) -> Callable[[], bytes]:
    content = (FOLDER / name).read_bytes()
    return lambda: content
