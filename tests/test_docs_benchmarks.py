"""docs/benchmarks.md: its figures are those that are kept."""

from __future__ import annotations

import json
import re
from statistics import median
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import ROOT

COLUMNS = (
    ("ours", "twisted-echo"),
    ("ours-no-batched-reads", "twisted-echo"),
    ("ours-plain", "twisted-echo"),
    ("ours", "naive"),
)
"""What the columns of ratios compare."""


def rowOf(name: str, rounds: dict[str, list[dict[str, Any]]]) -> str:
    """Write a line of the table: medians, and medians of the rounds' ratios."""
    rates = (f"{_rounded(median(each['rate'] for each in rounds[who])):,}" for who in COLUMNS[0])
    ratios = (f"{_ratio(rounds[one], rounds[other]):.2f}" for one, other in COLUMNS)
    return "| " + " | ".join([f"`{name}`", *reversed([*rates]), *ratios]) + " |"


def _ratio(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    ratios = [float(a["rate"] / b["rate"]) for a, b in zip(one, other, strict=True)]
    return median(ratios)


def _rounded(rate: float) -> int:
    """Round to three digits."""
    unit = int(10 ** max(0, len(str(int(rate))) - 3))
    return round(rate / unit) * unit


class FiguresTests(SynchronousTestCase):
    """The table of figures."""

    def test_table(self) -> None:
        """Each line of it is what the results of its release say."""
        page = (ROOT / "docs/benchmarks.md").read_text()
        (file,) = re.findall(r"bench/results/[\d.]+\.json", page)
        results = json.loads((ROOT / file).read_text())["rounds"]
        lines = re.findall(r"(?m)^\| `\d+x.*$", page)
        self.assertGreater(len(lines), 10)
        for line in lines:
            name = line.split("`")[1]
            self.assertEqual(line, rowOf(name, results[name]))
