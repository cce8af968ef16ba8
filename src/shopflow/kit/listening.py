"""The socket that a service listens on, and how many connections it can afford.

Who does not take his answers is dropped by the kernel: nothing above it has a deadline for what was written.
"""

import resource
import socket
from contextlib import suppress
from typing import Final

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""

_MOST: Final = 4096
_FEWEST: Final = 16
_OURS: Final = 640
"""Descriptors for everything else: the database's pool, the broker, two neighbours' pools of 256, files."""

_TAKES_WITHIN: Final = 30.0
_BUFFER: Final = 128 * 1024


class PortTaken(Exception):
    """Somebody else listens on the port. The message names it."""


def raise_descriptor_limit() -> None:
    """Lets this process have as many descriptors as it may: what shells and containers start with is far less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems name a limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def affordable_connections() -> int:
    """How many connections may be open at once: so few that they never take the last descriptor (H-15).

    Accepting without one left fails at once, again and again; at this bound the next ones wait in the kernel instead.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(_FEWEST, min(_MOST, max(soft - _OURS, soft // 2)))


def listener(host: str, port: int, *, takes_within: float = _TAKES_WITHIN) -> socket.socket:
    """A socket that listens, alone on its port.

    Args:
        host: the address.
        port: the port.
        takes_within: seconds after which a connection is dropped whose other end takes nothing of what was sent.

    Raises:
        PortTaken: the port is in use, or the address is not this machine's.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit all of it
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # by itself the kernel would hold megabytes for each
            made.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(takes_within * 1000))
        made.bind((host, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise PortTaken(f"port {port} on {host} cannot be listened on: {error.strerror}") from error
    return made
