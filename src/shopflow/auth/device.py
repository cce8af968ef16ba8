"""From where somebody signs in: address and program, as a session's owner reads them. Pure, and never logged."""

from collections.abc import Mapping
from typing import Any, Final
from unicodedata import category

import msgspec

from shopflow.kit.senders import client_address

_LONGEST: Final = 255
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Device(msgspec.Struct, frozen=True):
    """Where a request came from. `address` is an IPv6 network of 64 bits, or an IPv4 address."""

    address: str
    user_agent: str | None


def device(scope: Mapping[str, Any]) -> Device:
    """What a request says of where it came from; a program's name is what it claims, cut at 255 characters."""
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return Device(client_address(scope), _shown(agent.decode("utf-8", "replace")) or None)


def _shown(text: str) -> str:
    """The text without control characters and others that nobody sees, which could hide what it says."""
    return "".join(each for each in text if category(each) not in _INVISIBLE)[:_LONGEST].strip()
