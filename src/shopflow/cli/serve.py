"""`shopflow auth serve`, `orders serve`, `notifications serve`: one service as production runs it.

Exit statuses: 0 after a clean stop, 1 when it cannot start (a port that is taken), 2 when settings are wrong.
"""

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def auth() -> None:
    """Serve accounts and tokens on PORT (3001), until SIGTERM.

    Settings come from the environment: `shopflow settings auth` lists them. Exit status: 0 after a clean stop, 1 when
    the port is taken, 2 when settings are missing or wrong (all of them are named).
    """
    _run("auth")


def orders() -> None:
    """Serve orders and their life cycle on PORT (3002), until SIGTERM.

    Settings come from the environment: `shopflow settings orders` lists them. Exit status: 0 after a clean stop, 1 when
    the port is taken, 2 when settings are missing or wrong (all of them are named).
    """
    _run("orders")


def notifications() -> None:
    """Consume events, send e-mail and SMS, and serve their log on PORT (3003), until SIGTERM.

    Settings come from the environment: `shopflow settings notifications` lists them. Exit status: 0 after a clean stop,
    1 when the port is taken, 2 when settings are missing or wrong (all of them are named).
    """
    _run("notifications")


def _run(service: str) -> None:
    import uvloop

    from shopflow.kit import logs
    from shopflow.kit.listening import PortTaken
    from shopflow.kit.server import serve
    from shopflow.kit.settings import SettingsError, read

    settings_class: type[Any] = import_module(f"shopflow.{service}.settings").Settings
    try:
        settings = read(settings_class, os.environ)
    except SettingsError as error:
        lines = "\n".join(f"  {mistake}" for mistake in error.mistakes)
        sys.stderr.write(f"These settings of {service} are wrong:\n{lines}\nSee: shopflow settings {service}\n")
        raise SystemExit(2) from None
    build: Callable[[Any], Any] = import_module(f"shopflow.{service}.app").build

    async def run() -> None:
        application = build(settings)
        gc.collect()
        gc.freeze()  # what was built lives as long as the process: no collection need look at it again
        await serve(
            application,
            host=settings.host,
            port=settings.port,
            internal_port=settings.internal_port,
            delay=settings.shutdown_delay,
        )

    logs.configure(service=f"{service.removesuffix('s')}-service", level=settings.log_level)
    try:
        uvloop.run(run())
    except PortTaken as error:
        sys.stderr.write(f"{error}: stop what listens there, or set PORT or INTERNAL_PORT to another one.\n")
        raise SystemExit(1) from None
