"""TCP ports on the loopback interface: finding a free one and asking who holds one."""

import errno
import random
import socket

# Below the range from which systems take ports for outgoing connections, so that a remembered port stays ours.
LOWEST, HIGHEST = 20_000, 31_999


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now, on loopback and on every address."""
    return _can_bind("127.0.0.1", port) and _can_bind("0.0.0.0", port)


def free_port(*, remembered: int | None = None) -> int:
    """A free port, `remembered` if that still is one.

    Somebody else may take it before it is used: be ready to ask again.
    """
    if remembered is not None and is_free(remembered):
        return remembered
    dice = random.SystemRandom()
    while True:
        port = dice.randint(LOWEST, HIGHEST)
        if is_free(port):
            return port


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
