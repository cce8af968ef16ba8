"""A run's result as a page to read and as JSON. Pure: it measures nothing."""

from collections.abc import Sequence
from typing import Final

import msgspec

from bench.figures import Figure
from bench.machine import Machine

_QUIET: Final = 0.1
"""Cores that other programs may keep busy before a reader is warned."""

_VERDICTS: Final = {True: "ok", False: "MISSED", None: ""}


class Setting(msgspec.Struct, frozen=True):
    """What was asked for."""

    orders_per_minute: float
    seconds: float
    warm_up: float
    customers: int
    admins: int
    past_orders_each: int


class Limit(msgspec.Struct, frozen=True):
    """One value that must not exceed a target. `held` is None without one; `decides` as for a Figure."""

    name: str
    value: float
    unit: str
    target: float | None = None
    held: bool | None = None
    decides: bool = True


class Noise(msgspec.Struct, frozen=True):
    """What disturbed the measurement, while the load was on: cores that other programs kept busy, cores' worth of time
    that the hypervisor withheld, and by how many milliseconds the driver began calls late."""

    other_cores: float
    stolen_cores: float
    driver_late_p99: float
    driver_late_longest: float


class Result(msgspec.Struct, frozen=True):
    """One run. `cores` is what each part kept busy under load; `hash_ms` one bcrypt hash of cost 12, alone."""

    machine: Machine
    setting: Setting
    hash_ms: float
    figures: Sequence[Figure]
    limits: Sequence[Limit]
    cores: dict[str, float]
    noise: Noise

    @property
    def held(self) -> bool:
        """Whether everything that decides has held."""
        judged: list[Figure | Limit] = [*self.figures, *self.limits]
        return False not in [each.held for each in judged if each.decides]


def limit(name: str, value: float, unit: str, target: float | None = None, *, decides: bool = True) -> Limit:
    """A value beside its target."""
    return Limit(name, value, unit, target, None if target is None else value <= target, decides)


def page(result: Result) -> str:
    """The result as Markdown that also reads well in a terminal."""
    return "\n\n".join(
        [
            "# bench-quick",
            _circumstances(result),
            _table(
                ("milliseconds", "count", "errors", "p50", "p99", "max", "target p99", ""), _figures(result.figures)
            ),
            *_footnotes(result.figures),
            _table(("", "value", "target", ""), _limits(result.limits)),
            _noise(result),
            "Everything holds." if result.held else "**Not everything holds.**",
        ]
    )


def _circumstances(result: Result) -> str:
    on, asked = result.machine, result.setting
    load = ", ".join(f"{each:.2f}" for each in on.load_average)
    return (
        f"{on.date}, revision {on.revision}. {on.cores} cores of {on.processor}, {on.memory_gib} GiB, {on.system}, "
        f"Python {on.python}; load average at the start {load}. "
        f"One bcrypt hash of cost 12 takes {result.hash_ms:.0f} ms here.\n\n"
        f"{asked.orders_per_minute:g} orders/min, each with one GET of itself, one GET of its customer's list, one "
        f"check of its token and three transitions; open loop, latency from the intended start; {asked.seconds:g} s "
        f"measured after {asked.warm_up:g} s of warm-up; {asked.customers} customers with {asked.past_orders_each} "
        f"earlier orders each, {asked.admins} admins; default limits; services, servers, sandbox and driver on the "
        "same cores."
    )


def _figures(figures: Sequence[Figure]) -> list[list[str]]:
    return [
        [
            figure.name + ("" if not figure.note else f" [{_marks(figures)[figure.note]}]"),
            str(figure.count),
            str(sum(figure.errors.values())),
            *(_number(each) for each in (figure.p50, figure.p99, figure.longest)),
            "" if figure.target is None else f"< {figure.target:g}",
            _verdict(figure),
        ]
        for figure in figures
    ]


def _marks(figures: Sequence[Figure]) -> dict[str, int]:
    """Each different note and its number."""
    notes = dict.fromkeys(figure.note for figure in figures if figure.note)
    return {note: number for number, note in enumerate(notes, start=1)}


def _footnotes(figures: Sequence[Figure]) -> list[str]:
    lines = [f"[{number}] {note}" for note, number in _marks(figures).items()]
    lines += [
        f"{figure.name}: {count} times {reason}"
        for figure in figures
        for reason, count in sorted(figure.errors.items())
    ]
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _limits(limits: Sequence[Limit]) -> list[list[str]]:
    return [
        [
            each.name,
            f"{each.value:.1f} {each.unit}" if each.value % 1 else f"{each.value:.0f} {each.unit}".rstrip(),
            "" if each.target is None else f"≤ {each.target:g}",
            _verdict(each),
        ]
        for each in limits
    ]


def _noise(result: Result) -> str:
    noise = result.noise
    cores = ", ".join(f"{name} {value:.2f}" for name, value in result.cores.items())
    return (
        f"Cores busy under load: {cores}; other programs {noise.other_cores:.2f}, withheld by the hypervisor "
        f"{noise.stolen_cores:.2f}. The driver began its calls late by p99 {noise.driver_late_p99:.1f} ms, at most "
        f"{noise.driver_late_longest:.1f} ms; that is in the latencies above."
        + (" THE MACHINE WAS NOT QUIET: measure again." if noise.other_cores + noise.stolen_cores > _QUIET else "")
    )


def _verdict(judged: Figure | Limit) -> str:
    return _VERDICTS[judged.held] + ("" if judged.decides or judged.held is None else " (does not decide)")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = [
        ("-" * width if not column else "-" * (width - 1) + ":") if width else "" for column, width in enumerate(widths)
    ]
    lines = [head, rule, *rows]
    return "\n".join(
        "| " + " | ".join(_cell(line, column, widths) for column in range(len(head))) + " |" for line in lines
    )


def _cell(line: Sequence[str], column: int, widths: Sequence[int]) -> str:
    return line[column].rjust(widths[column]) if column else line[column].ljust(widths[column])
