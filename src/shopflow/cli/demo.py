"""`shopflow demo`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter


def demo(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Play an order's story against the running platform, and show what the customer received.

    Registers a customer, signs in, places an order, confirms, ships and delivers it as the admin; then shows the two
    e-mails and two SMS. Needs a platform that `shopflow up` has brought up in the same $SHOPFLOW_HOME.
    Exit status: 0 when the story went through, 1 when a step failed, 3 when nothing runs.

    Parameters
    ----------
    json
        Print the order, its history, its notifications and the messages as JSON instead.

    """
    import msgspec

    from shopflow.local import given
    from shopflow.local.failures import LocalFailure
    from shopflow.local.home import Home
    from shopflow.local.story import Story

    home = Home(given.home(os.environ, working_folder=Path.cwd()))
    up = home.up()
    if up is None:
        sys.stderr.write(f"No platform runs in {home.folder}; bring one up with: make up\n")
        raise SystemExit(3)
    try:
        told = asyncio.run(Story(up, say=_silent if json else print).play())
    except LocalFailure as failure:
        sys.stderr.write(f"{failure}\n")
        raise SystemExit(1) from None
    print(msgspec.json.encode(told).decode() if json else _shown(told, mailbox=up["mailbox"]))


def _silent(_: str) -> None:
    """Programs want the result, not the telling."""


def _shown(told: dict[str, Any], *, mailbox: str) -> str:
    history = " → ".join(each["to"] for each in told["history"])
    parts = [f"\nThe order is {told['order']['status']} ({history})."]
    if not told["messages"]:
        return f"{parts[0]} Its messages went out through the real providers."
    parts.append("The customer received:")
    for message in told["messages"]:
        text = "\n".join(f"  │ {line}".rstrip() for line in message["text"].strip().splitlines())
        title = f"SMS to {message['to']}" if message["channel"] == "sms" else f"E-mail to {message['to']}"
        subject = f": {message['subject']}" if message["subject"] else ""
        parts.append(f"\n{title}{subject}\n{text}")
    parts.append(f"\nAs the customer sees it: {mailbox}/")
    return "\n".join(parts)
