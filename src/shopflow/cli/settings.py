"""`shopflow settings [SERVICE]`."""

import os
from importlib import import_module
from typing import Any, Literal

import msgspec

from shopflow.kit.settings import Variable, masked, variables

SERVICES = ("auth", "orders", "notifications")


def settings(service: Literal["auth", "orders", "notifications"] | None = None, *, json: bool = False) -> None:
    """List every variable of a service, or of all: name, meaning, default, and what it is set to (secrets masked).

    Exit status: 0.

    Parameters
    ----------
    service
        Only this service.
    json
        As one JSON list.

    """
    rows = [_row(each, variable) for each in ([service] if service else SERVICES) for variable in _variables(each)]
    if json:
        print(msgspec.json.encode(rows).decode())
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        unset = "(required)" if row["required"] else f"({row['default'] or '-'})"
        state = f"= {row['value']}" if row["value"] else unset
        print(f"{row['service']:<14}{row['name']:<{width + 2}}{state:<30} {row['meaning']}")


def _variables(service: str) -> list[Variable]:
    return variables(import_module(f"shopflow.{service}.settings").Settings)


def _row(service: str, variable: Variable) -> dict[str, Any]:
    return {
        "service": service,
        "name": variable.name,
        "meaning": variable.meaning + (f" (or {variable.name}_FILE)" if variable.file else ""),
        "required": variable.required,
        "default": variable.default,
        "value": masked(variable, os.environ),
    }
