"""
Tests for the histograms of the load generators, in Python and in C.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from bench.histogram import Histogram
from bench.servers import ROOT


class HistogramTests(SynchronousTestCase):
    """Percentiles of durations."""

    values = [base + more for base in (10**power for power in range(12)) for more in (0, base // 3)]
    """In nanoseconds."""

    def ofEach(self) -> list[float]:
        """Give, of each duration, what is remembered of it where there is a longer one, too."""
        told = []
        for value in self.values:
            histogram = Histogram()
            histogram.add(value / 1e9)
            histogram.add(1e4)
            told.append(histogram.percentile(0.5))
        return told

    def test_error(self) -> None:
        """What is given back is off by less than one percent, or by the one nanosecond."""
        for value, told in zip(self.values, self.ofEach(), strict=True):
            self.assertLessEqual(abs(told * 1e9 - value), max(0.01 * value, 1.001))

    def test_percentiles(self) -> None:
        """A percentile is the least duration that so large a share of them does not exceed."""
        histogram = Histogram()
        self.assertEqual(histogram.percentile(0.5), 0)
        histogram.add(0.001, 98)
        histogram.add(0.01)
        histogram.add(0.1)
        for share, expected in ((0, 0.001), (0.98, 0.001), (0.99, 0.01), (0.999, 0.1), (1, 0.1)):
            self.assertApproximates(histogram.percentile(share), expected, 0.004 * expected)
        self.assertEqual(histogram.most, 0.1)

    def test_tooLong(self) -> None:
        """What is too long to be told apart still has its place, and is the most."""
        histogram = Histogram()
        histogram.add(1e6)
        self.assertGreater(histogram.percentile(0.5), 1000)
        self.assertEqual(histogram.most, 1e6)


class CompiledHistogramTests(HistogramTests):
    """The same in C."""

    program = """
        #include <stdio.h>
        #include "histogram.h"
        int main(void) {
            unsigned long long value;
            while (scanf("%llu", &value) == 1) {
                struct histogram histogram = {0};
                histogramAdd(&histogram, value);
                histogramAdd(&histogram, 10000000000000ull);
                printf("%.12g\\n", histogramPercentile(&histogram, 0.5));
            }
            return 0;
        }
    """

    def ofEach(self) -> list[float]:
        """Give the same by a program that is built here."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise SkipTest("there is no C compiler")
        folder = Path(self.mktemp())
        folder.mkdir()
        source, program = folder / "histogram.c", folder / "histogram"
        source.write_text(self.program)
        include = str(ROOT / "bench")
        subprocess.run([compiler, "-I", include, "-o", str(program), str(source)], check=True)
        text = "\n".join(map(str, self.values))
        done = subprocess.run(
            [str(program.absolute())], input=text, capture_output=True, text=True, check=True
        )
        return [float(line) for line in done.stdout.split()]

    def test_same(self) -> None:
        """Both give the same."""
        for one, other in zip(self.ofEach(), super().ofEach(), strict=True):
            self.assertApproximates(one, other, 2e-9 + 1e-9 * other)
