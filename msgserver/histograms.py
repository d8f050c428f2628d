"""
How long things take: durations, counted by size. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

AWAY_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0),
)
"""Seconds: from a client that is back before anybody notices to one that was away for an hour."""


class Histogram:
    """
    Counts values by the least of some bounds that is not below each.

    @param bounds: upper bounds, each above the one before it.
    @ivar counts: how many values there were for each bound, and at the end of those above all.
    @ivar sum: of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = AWAY_BOUNDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one below 0, as of a clock that was set back, counts as 0."""
        value = max(0.0, value)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[int]:
        """Tell how many values were at or below each bound, and at the end how many in all."""
        return list(accumulate(self.counts))
