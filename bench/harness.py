"""How a question is measured: in turn, several times, with its spread.

Machines are shared and noisy, so no single number is believed. What is compared runs in turn
(A B A B ...), a figure is the median of its rounds with its spread, and a goal is best a ratio of
two sides of the same rounds. Each figure is printed as one JSON line; a table closes the run.
"""

import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import attrs

ROUNDS_VARIABLE = "BENCH_ROUNDS"
DEFAULT_ROUNDS = 5


def rounds_wanted() -> int:
    """Give the number of rounds from BENCH_ROUNDS, else five."""
    return int(os.environ.get(ROUNDS_VARIABLE, DEFAULT_ROUNDS))


@attrs.frozen(kw_only=True)
class Goal:
    """What a figure's median should keep to, inclusive; None where there is no bound."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Tell whether *value* lies within the bounds."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        low = [] if self.at_least is None else [f">= {self.at_least:g}"]
        high = [] if self.at_most is None else [f"<= {self.at_most:g}"]
        return " and ".join(low + high)


@attrs.frozen(kw_only=True)
class Figure:
    """One measured quantity: a value for each round, in *unit*."""

    topic: str
    name: str
    unit: str
    values: tuple[float, ...] = attrs.field(validator=attrs.validators.min_len(1))
    goal: Goal = Goal()
    settings: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def median(self) -> float:
        """The middle value, which stands for the figure."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The distance from the lowest to the highest value, as a share of the median."""
        width = max(self.values) - min(self.values)
        return width / abs(self.median) if self.median else 0.0

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return self.goal.is_met_by(self.median) if str(self.goal) else None

    def document(self) -> dict[str, Any]:
        """Give the figure as the members of its JSON line."""
        return {
            "topic": self.topic,
            "name": self.name,
            "unit": self.unit,
            "median": _rounded(self.median),
            "lowest": _rounded(min(self.values)),
            "highest": _rounded(max(self.values)),
            "spread": _rounded(self.spread),
            "values": [_rounded(value) for value in self.values],
            "goal": str(self.goal) or None,
            "met": self.met,
            "settings": dict(self.settings),
            "load": _load(),
        }


@attrs.define
class Bench:
    """The figures of one question; a context manager that closes with their table."""

    topic: str
    settings: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    rounds: int = attrs.field(factory=rounds_wanted, kw_only=True)
    figures: list[Figure] = attrs.field(factory=list, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            print(table([figure.document() for figure in self.figures]))

    def paired(
        self, sides: Mapping[str, Callable[[], float]], *, unit: str, warm_up: int = 1
    ) -> dict[str, Figure]:
        """Call each side in turn, *rounds* times, and give a figure for each.

        A side measures itself and returns its value in *unit*; the values of the first *warm_up*
        rounds are thrown away.
        """
        values: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(warm_up + self.rounds):
            for name, side in sides.items():
                values[name].append(side())
        return self._record_sides(values, unit, warm_up)

    async def paired_async(
        self, sides: Mapping[str, Callable[[], Awaitable[float]]], *, unit: str, warm_up: int = 1
    ) -> dict[str, Figure]:
        """Do as `paired` does with sides that share the running loop."""
        values: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(warm_up + self.rounds):
            for name, side in sides.items():
                values[name].append(await side())
        return self._record_sides(values, unit, warm_up)

    def ratio(
        self,
        name: str,
        ours: Figure,
        probe: Figure,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Figure:
        """Record *ours* divided by *probe*, round by round, and what it should keep to."""
        shares = [a / b for a, b in zip(ours.values, probe.values, strict=True)]
        return self.figure(name, shares, unit="ratio", at_least=at_least, at_most=at_most)

    def figure(
        self,
        name: str,
        values: Sequence[float],
        *,
        unit: str,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Figure:
        """Record one figure, print its JSON line, and give it back."""
        figure = Figure(
            topic=self.topic,
            name=name,
            unit=unit,
            values=tuple(values),
            goal=Goal(at_least=at_least, at_most=at_most),
            settings=self.settings,
        )
        self.figures.append(figure)
        print(json.dumps(figure.document()), flush=True)
        return figure

    def _record_sides(
        self, values: Mapping[str, list[float]], unit: str, warm_up: int
    ) -> dict[str, Figure]:
        return {
            name: self.figure(name, taken[warm_up:], unit=unit) for name, taken in values.items()
        }


def table(documents: Sequence[Mapping[str, Any]]) -> str:
    """Lay the documents of figures out as a table, one line each."""
    head = ("topic", "figure", "median", "unit", "spread", "goal", "")
    rows = [head, *(_row(document) for document in documents)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def progress(text: str) -> None:
    """Tell on stderr what is going on, so that stdout holds figures only."""
    print(text, file=sys.stderr, flush=True)


def _row(document: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        document["topic"],
        document["name"],
        f"{document['median']:,.6g}",
        document["unit"],
        f"{document['spread']:.0%}",
        document["goal"] or "",
        {True: "met", False: "MISSED", None: ""}[document["met"]],
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _load() -> float:
    return round(os.getloadavg()[0], 2)
