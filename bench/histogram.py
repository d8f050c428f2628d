"""
Durations, counted: the twin of bench/histogram.h.
"""

from __future__ import annotations


class Histogram:
    """
    Durations, log-linear, so that it does not grow: what it gives back is off by less than 0.4 %.
    """

    steps = 128
    """Into how many buckets each power of two is cut."""

    longest = (1 << 40) - 1
    """What takes longer, in nanoseconds, is counted as if it took this long."""

    def __init__(self) -> None:
        self._counts = [0] * ((40 - 7 + 1) * self.steps)
        self._total = 0
        self.most = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a duration, as often as is said."""
        self.most = max(self.most, seconds)
        self._total += count
        value = min(int(seconds * 1e9), self.longest)
        power = max(value.bit_length() - 8, 0)
        self._counts[power * self.steps + (value >> power)] += count

    def percentile(self, share: float) -> float:
        """Give the least duration, in seconds, that so large a share of them does not exceed."""
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen and seen >= share * self._total:
                power = max(bucket // self.steps - 1, 0)
                middle = (bucket - power * self.steps << power) + ((1 << power) - 1) / 2
                # The last bucket's middle may lie past what was in it.
                return min(middle / 1e9, self.most)
        return 0.0
