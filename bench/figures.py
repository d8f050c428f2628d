"""
Medians, percentiles, tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import median

from attrs import frozen


def percentile(values: Sequence[float], share: float) -> float:
    """Give the least of some values that so large a share of them does not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@frozen
class Spread:
    """The median of what several rounds gave, and the least and the most of it."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Look at some rounds."""
        return cls(median(values), min(values), max(values))

    def write(self, digits: int) -> str:
        """Write it, with so many digits after the point."""
        median, least, most = (
            f"{value:,.{digits}f}" for value in (self.median, self.least, self.most)
        )
        return median if least == most else f"{median} ({least}–{most})"


@frozen
class Row:
    """
    One of the figures that are measured of every contender.

    @ivar key: its name in a round's figures.
    @ivar hasRatio: how it compares with the first contender's is of interest.
    """

    key: str
    title: str
    digits: int = 0
    hasRatio: bool = False


Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""What each contender gave: the figures of each round, by their keys."""


def spreads(rows: Sequence[Row], rounds: Rounds) -> dict[str, dict[str, dict[str, Spread]]]:
    """
    Look at all rounds.

    @return: of each row, by its key, C{figures} of each contender and C{ratios} of each but
        the first, to the first: of one round's figures each, so what slowed down both is gone.
    """
    (first, *others) = rounds
    told: dict[str, dict[str, dict[str, Spread]]] = {}
    for row in rows:
        columns = {name: [each[row.key] for each in rounds[name]] for name in rounds}
        told[row.key] = {
            "figures": {name: Spread.of(values) for name, values in columns.items()},
            "ratios": {
                name: Spread.of([a / b for a, b in zip(columns[name], columns[first], strict=True)])
                for name in others
                if row.hasRatio and all(columns[first])
            },
        }
    return told


def table(title: str, rows: Sequence[Row], rounds: Rounds) -> str:
    """Write a table: a line for each figure, a column for each contender and each ratio."""
    (first, *others) = rounds
    lines = [[title, *rounds, *(f"{name} : {first}" for name in others)]]
    for row, told in zip(rows, spreads(rows, rounds).values(), strict=True):
        figures, ratios = told["figures"], told["ratios"]
        line = [row.title, *(spread.write(row.digits) for spread in figures.values())]
        lines.append(line + [ratios[name].write(2) if name in ratios else "" for name in others])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
