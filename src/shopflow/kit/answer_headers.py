"""Headers of every answer: what a browser may not do with it, and that nobody keeps it.

Pure. A handler's own header wins. Pages have a policy of their own: `PAGE`.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

EVERYWHERE: Final[Mapping[bytes, bytes]] = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"server": b"shopflow",  # ours, since the server under us would say its own name
}
"""On every answer that does not say otherwise. Who stores none of them, cannot show one to somebody else."""

PAGE: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On pages: scripts and styles from our own files only. The API's page needs no more, not even for its styles."""


def completed(own: Headers, *further: Headers) -> Headers:
    """An answer's own headers, then the further ones and those of every answer that it does not have."""
    headers = list(own)
    present = {name.lower() for name, _ in own}
    for more in further:
        headers += [header for header in more if header[0] not in present]
    headers += [header for header in EVERYWHERE.items() if header[0] not in present]
    return headers
