"""
L{msgserver.histograms}: values are counted where they belong.
"""

from __future__ import annotations

from bisect import bisect_left

from twisted.trial.unittest import SynchronousTestCase

from msgserver.histograms import AWAY_BOUNDS, Histogram


class HistogramTests(SynchronousTestCase):
    """Counting by size."""

    def test_nothing(self) -> None:
        """At first there is a 0 for each bound, and for what is above all."""
        histogram = Histogram((1.0, 2.0))
        self.assertEqual((histogram.counts, histogram.sum), ([0, 0, 0], 0.0))
        self.assertEqual(histogram.cumulative(), [0, 0, 0])

    def test_bounds(self) -> None:
        """A value that is a bound belongs to it, as Prometheus has it: at or below."""
        histogram = Histogram((1.0, 2.0))
        for value in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1e9):
            histogram.observe(value)
        self.assertEqual(histogram.counts, [3, 2, 2])
        self.assertEqual(histogram.cumulative(), [3, 5, 7])
        self.assertEqual(histogram.sum, 7.5 + 1e9)

    def test_negative(self) -> None:
        """A clock that was set back makes no sum fall."""
        histogram = Histogram((1.0,))
        histogram.observe(-5.0)
        self.assertEqual((histogram.counts, histogram.sum), ([1, 0], 0.0))

    def test_own(self) -> None:
        """Each counts for itself."""
        one, other = Histogram(), Histogram()
        one.observe(1)
        self.assertEqual(sum(other.counts), 0)

    def test_awayBounds(self) -> None:
        """From 5 ms to an hour, in order, so that each value has its place."""
        self.assertEqual((AWAY_BOUNDS[0], AWAY_BOUNDS[-1]), (0.005, 3600.0))
        self.assertEqual(list(AWAY_BOUNDS), sorted(set(AWAY_BOUNDS)))
        for value in (0.001, 0.3, 4000.0):
            histogram = Histogram()
            histogram.observe(value)
            self.assertEqual(histogram.counts.index(1), bisect_left(AWAY_BOUNDS, value))
