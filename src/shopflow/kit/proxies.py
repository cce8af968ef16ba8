"""Who sent a request, when proxies stand in between: counted from the right through those that are trusted (A18).

Pure. Every proxy appends whom it heard from to X-Forwarded-For, so that only what trusted ones appended is true; what
stands to the left of that is the client's own invention and is never looked at. `Forwarded` is not read: a proxy that
writes one of the two headers hands the other one on as the client sent it.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

_MOST_HOPS: Final = 16
_LONGEST_ENTRY: Final = 64
_REMEMBERED: Final = 512  # proxies; clients pass through once each
_HIGHEST_PORT: Final = 65535


class Unreadable(Exception):
    """A forwarding header does not say what it should. It never holds what was sent."""


class TrustedProxies:
    """The proxies whose word on whom they heard from is taken.

    Args:
        networks: their addresses; none means that the socket's own address is always the client's.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(_REMEMBERED)(self._is_inside)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """The address of the client.

        Args:
            peer: the address at the other end of the socket.
            forwarded: the values of every X-Forwarded-For header, in their order.

        Raises:
            Unreadable: an entry that has to be read is no address, or there are too many: the peer is all that is sure.
        """
        if not forwarded or not self._trusts(peer):
            return peer
        client = peer
        for entry in _from_the_right(forwarded):
            client = _address(entry)
            if not self._trusts(client):
                break
        return client

    def _is_inside(self, address: str) -> bool:
        parsed = _unmapped(ip_address(address))
        return any(parsed in network for network in self._networks)


def _from_the_right(forwarded: Sequence[bytes]) -> list[bytes]:
    """The last entries of what several headers say as one list, the last one first."""
    entries = b",".join(forwarded).rsplit(b",", _MOST_HOPS)
    whole = len(entries) <= _MOST_HOPS
    return entries[::-1] if whole else [*entries[:0:-1], b""]  # reached, the rest of a list that long is unreadable


def _address(entry: bytes) -> str:
    """One entry: an address, perhaps with a port, an IPv6 one perhaps in brackets."""
    text = entry.strip(b" \t").decode("latin-1")
    if len(text) > _LONGEST_ENTRY or "%" in text:
        raise Unreadable
    try:
        return str(_unmapped(ip_address(_without_port(text))))
    except ValueError:
        raise Unreadable from None


def _without_port(text: str) -> str:
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or ":" not in host or not (rest == "" or (rest.startswith(":") and _is_port(rest[1:]))):
            raise Unreadable
        return host
    host, colon, port = text.partition(":")
    if not colon or ":" in port:  # no port, or an IPv6 address without brackets, which cannot have one
        return text
    if not _is_port(port):
        raise Unreadable
    return host


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= _HIGHEST_PORT


def _unmapped(address: Address) -> Address:
    """An IPv4 address that came as IPv6 (::ffff:192.0.2.1) is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
