"""Who sent a request, as far as the request itself says: its address and its Authorization header."""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any


def authorization(scope: Mapping[str, Any]) -> str | None:
    """The Authorization header; two of them are as good as a wrong one."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    return ", ".join(value.decode("latin-1") for value in found) if found else None


def client_address(scope: Mapping[str, Any]) -> str:
    """The address a request came from, as a key to count by: an IPv6 address counts as its /64 (R22)."""
    client = scope.get("client")
    address = ip_address(client[0] if client else "0.0.0.0")
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((address, 64), strict=False))
    return str(address)
