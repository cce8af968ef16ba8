"""What the life of orders is, in thirty lines: who may do what, and what it answers (PRD 4.2, 6; R28-R30, R42, R44).

Written from the rules and not from the code that it judges.
"""

from dataclasses import dataclass, field
from typing import Final

LIFE: Final = ("pending", "confirmed", "shipped", "delivered")
PEOPLE: Final = ("ann", "bob", "cec", "admin")
EVERYBODY: Final = (*PEOPLE, "service")


@dataclass
class Placed:
    """An order: whose it is, for how many units, and how far it has come."""

    owner: str
    units: int
    reached: int = 0


@dataclass
class Model:
    """All orders by number, and what was asked for with which key."""

    orders: list[Placed] = field(default_factory=list)
    keys: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def place(self, caller: str, units: int, key: str | None) -> tuple[int, int | None]:
        """Status and number of the order."""
        if caller == "service":
            return 403, None
        if key is not None and (caller, key) in self.keys:
            asked, number = self.keys[caller, key]
            return (201, number) if asked == units else (422, None)
        self.orders.append(Placed(caller, units))
        if key is not None:
            self.keys[caller, key] = units, len(self.orders) - 1
        return 201, len(self.orders) - 1

    def advance(self, caller: str, number: int | None, target: str, believed: str | None) -> int:
        """Status; `believed` is the state that the caller takes the order to be in, `*` for any."""
        if caller != "admin":
            return 403
        if number is None:
            return 404
        order = self.orders[number]
        state, step = LIFE[order.reached], LIFE.index(target) - order.reached
        if believed not in {None, "*", state}:
            return 412
        if step == 1:
            order.reached += 1
        return {0: 409, 1: 200}.get(step, 400)

    def read(self, caller: str, number: int | None) -> int:
        """Status."""
        return 404 if number is None else 200 if self.may_see(caller, number) or caller == "service" else 403

    def history(self, caller: str, number: int | None) -> int:
        """Status."""
        return 403 if caller == "service" else self.read(caller, number)

    def listed(self, caller: str, whose: str | None, state: str | None) -> tuple[int, set[int]]:
        """Status and numbers; `whose` is somebody who is named, which only admins may do."""
        if caller == "service" or (whose is not None and caller != "admin"):
            return 403, set()
        wanted = {number for number, each in enumerate(self.orders) if each.owner == (whose or caller)}
        return 200, {number for number in wanted if state in {None, LIFE[self.orders[number].reached]}}

    def may_see(self, caller: str, number: int) -> bool:
        """Whether a person may see an order."""
        return caller in {"admin", self.orders[number].owner}
