"""
How long things took: a histogram that keeps three digits from a microsecond to an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

_MICROSECONDS = 1_000_000
_LONGEST = 3600 * _MICROSECONDS
_DIGITS = 3


class Latencies:
    """
    Durations, in seconds. What takes longer than an hour counts as an hour.

    @param encoded: what L{encode} has written of one.
    """

    def __init__(self, encoded: str | None = None) -> None:
        if encoded is None:
            self._histogram = HdrHistogram(1, _LONGEST, _DIGITS)
        else:
            self._histogram = HdrHistogram.decode(encoded.encode())

    def record(self, seconds: float) -> None:
        """Add one."""
        self._histogram.record_value(min(int(seconds * _MICROSECONDS), _LONGEST))

    def add(self, other: Latencies) -> None:
        """Add all of another's."""
        self._histogram.add(other._histogram)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._histogram.get_total_count())

    @property
    def max(self) -> float:
        """The longest; 0 where there is none."""
        return float(self._histogram.get_max_value()) / _MICROSECONDS if self.count else 0.0

    @property
    def mean(self) -> float:
        """The mean; 0 where there is none."""
        return float(self._histogram.get_mean_value()) / _MICROSECONDS if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Tell what that many percent of them do not exceed; 0 where there is none."""
        if not self.count:
            return 0.0
        # The histogram rounds how many that are, which may be one too few. Not so this; and what
        # floats add to a whole number is no reason for one more.
        rank = ceil(self.count * percent / 100 - 1e-9)
        exact = 100 * rank / self.count
        value = float(self._histogram.get_value_at_percentile(exact)) / _MICROSECONDS
        return min(value, self.max)

    def curve(self) -> Iterator[tuple[float, float]]:
        """Give pairs of a share, 0 to below 1, and what that share does not exceed, ascending."""
        if self.count:
            for each in self._histogram.get_percentile_iterator(5):
                if each.percentile_level_iterated_to < 100:
                    share = each.percentile_level_iterated_to / 100
                    yield share, each.value_iterated_to / _MICROSECONDS

    def encode(self) -> str:
        """Write it as text, the format of HdrHistogram's logs."""
        encoded: bytes = self._histogram.encode()
        return encoded.decode("ascii")
