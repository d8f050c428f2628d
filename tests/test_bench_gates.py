"""
Tests for the benchmark of the gate: its options, arithmetic, contenders, and its picture.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest
from xml.etree import ElementTree

from attrs import asdict, evolve
from twisted.trial.unittest import SynchronousTestCase

from bench import plot
from bench.figures import Spread
from bench.gatecontenders import BARE, CONFIGURATIONS, contenders
from bench.gatefigures import ROWS, TARGETS, Target, figuresOf, judge, notesOn, tableOf
from bench.gates import coresOf, measure, parse, summaryOf
from bench.loads import LoadFigures
from bench.workloads import CLOSED, HANDLERS, OPEN, QUICK, WORKLOADS, Workload
from msgserver.compiled import isCompiled


class WorkloadTests(SynchronousTestCase):
    """What there is to ask for."""

    def test_names(self) -> None:
        """Each has a name of its own, made of what it is."""
        self.assertEqual(len(WORKLOADS), len(CLOSED) + len(OPEN))
        self.assertEqual(Workload(64, 16, 1024).name, "64x16x1024")
        self.assertEqual(Workload(64, 1, 16, "late").name, "64x1x16-late")
        self.assertEqual(Workload(256, 1, 16, rate=5000).name, "open-5000")
        self.assertLessEqual(set(QUICK), set(WORKLOADS))
        self.assertEqual({each.handler for each in WORKLOADS.values()}, set(HANDLERS))
        self.assertEqual(len({each.title for each in WORKLOADS.values()}), len(WORKLOADS))

    def test_outstanding(self) -> None:
        """A schedule leaves nothing outstanding that would have to be counted."""
        self.assertEqual(WORKLOADS["512x16x64"].outstanding, 512 * 16)
        self.assertEqual(WORKLOADS["open-5000"].outstanding, 0)


class OptionTests(SynchronousTestCase):
    """The command line."""

    def parse(self, line: str) -> Any:
        """Read one."""
        return parse(line.split(), contenders())

    def test_defaults(self) -> None:
        """Without options everything is measured but what is optional."""
        options = self.parse("")
        self.assertEqual((options.rounds, options.workloads), (5, list(WORKLOADS)))
        self.assertNotIn("ours-on-asyncio", options.only)
        self.assertIn("ours", options.only)
        self.assertFalse(options.release)

    def test_quick(self) -> None:
        """Quick takes fewer workloads and rounds, unless it is told which."""
        options = self.parse("--quick")
        self.assertEqual((options.rounds, options.workloads), (3, list(QUICK)))
        options = self.parse("--quick --rounds 7 --workloads 1x1x16")
        self.assertEqual((options.rounds, options.workloads), (7, ["1x1x16"]))

    def test_open(self) -> None:
        """The open loop can be had alone."""
        names = [workload.name for workload in OPEN]
        for line in ("--open", "--open --quick"):
            self.assertEqual(self.parse(line).workloads, names)

    def test_wrong(self) -> None:
        """What is wrong is said in one line."""
        for line, message in (
            ("--rounds 0", "'0' is no number from 1 to 100"),
            ("--rounds 1.5", "'1.5' is no number from 1 to 100"),
            ("--seconds never", "'never' are no seconds from 0.05 to 60"),
            ("--seconds nan", "'nan' are no seconds from 0.05 to 60"),
            ("--only nobody", "invalid choice: 'nobody'"),
            ("--workloads 2x2", "invalid choice: '2x2'"),
        ):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                self.assertRaises(SystemExit, self.parse, line)
            self.assertIn(message, said.getvalue().splitlines()[-1])

    def test_cores(self) -> None:
        """Server and load are apart where they can be."""
        self.assertEqual(coresOf([0, 1]), (0, 1))
        self.assertEqual(coresOf([2, 3, 7]), (2, 7))
        self.assertEqual(coresOf([5]), (5, 5))


class ContenderTests(SynchronousTestCase):
    """Who is compared."""

    def test_names(self) -> None:
        """The bare echo is the first, since all others are compared to it; names differ."""
        names = [each.name for each in contenders()]
        self.assertEqual(names[0], BARE)
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(isCompiled, " (compiled)" in contenders()[-1].title)

    def test_configurations(self) -> None:
        """Each configuration is one that the gate has keys for."""
        titles = {each.title.removesuffix(" (compiled)") for each in contenders()}
        self.assertLessEqual(set(CONFIGURATIONS), titles)

    def test_targets(self) -> None:
        """Targets are about what is there."""
        names = {each.name for each in contenders()}
        rows = {row.key for row in ROWS}
        for target in TARGETS:
            self.assertIn(target.workload, WORKLOADS)
            self.assertLessEqual({target.contender, target.than}, names)
            self.assertIn(target.row, rows)
            self.assertNotEqual(target.least is None, target.most is None)

    def test_measured(self) -> None:
        """The bare echo and ours answer a real load."""
        if sys.platform != "linux":
            raise SkipTest("measuring takes Linux")
        those = [each for each in contenders() if each.name in (BARE, "ours")]
        workload = Workload(2, 2, 16)
        results = measure(workload, those, rounds=2, seconds=0.05)
        self.assertEqual(list(results), [BARE, "ours"])
        for rounds in results.values():
            self.assertEqual(len(rounds), 2)
            for figures in rounds:
                self.assertTrue(all(figures[row.key] > 0 for row in ROWS), figures)


class FiguresTests(SynchronousTestCase):
    """What is made of a load."""

    workload = Workload(10, 2, 16)
    titles = {BARE: "twisted echo", "ours": "ours (compiled)", "naive": "naive"}
    quiet = {
        "rate": 1000.0,
        "cpu": 10.0,
        "p50": 1.0,
        "p99": 2.0,
        "p999": 3.0,
        "peak": 50.0,
        "loadIdle": 40.0,
        "heldUp": 1.0,
        "othersBusy": 1.0,
    }

    def rounds(self, **ours: float) -> dict[str, list[dict[str, float]]]:
        """Give one round of two contenders, of which the second is otherwise."""
        return {BARE: [dict(self.quiet)], "ours": [{**self.quiet, **ours}]}

    def test_figures(self) -> None:
        """Rates are by the window; CPU time is by all that was answered in it and after it."""
        load = LoadFigures(980, 2.0, 0.001, 0.002, 0.003, 0.004, 0.5, 0.75)
        figures = figuresOf(self.workload, load, 1.0, 0.5, 50_000_000, (2.5, 4.0))
        expected = {"rate": 490.0, "cpu": 1000.0, "p50": 1.0, "p99": 2.0, "p999": 3.0}
        expected |= {"peak": 50.0, "loadIdle": 75.0, "heldUp": 25.0, "othersBusy": 25.0}
        self.assertEqual(figures, expected)

    def test_coarseClocks(self) -> None:
        """Others cannot have taken less than nothing, nor a machine been there for no time."""
        load = LoadFigures(0, 2.0, 0, 0, 0, 0, 0.5, 0.75)
        for machine in ((1.0, 4.0), (0.0, 0.0)):
            figures = figuresOf(OPEN[0], load, 1.0, 2.5, 0, machine)
            self.assertEqual(figures["heldUp"], 100)
            self.assertEqual(figures["othersBusy"], 0)

    def test_notes(self) -> None:
        """Whatever but the servers may have made the figures is said."""
        self.assertEqual(notesOn(self.workload, self.rounds(), self.titles), [])
        told = {**self.rounds(loadIdle=4.0), "naive": [{**self.quiet, "loadIdle": 3.0}]}
        (note,) = notesOn(self.workload, told, self.titles)
        self.assertEqual(note, "the generator was the bottleneck of: ours (compiled); naive")
        for ours, shares in (({"othersBusy": 33.0}, (33, 1)), ({"heldUp": 7.0}, (1, 7))):
            (note,) = notesOn(self.workload, self.rounds(**ours), self.titles)
            self.assertEqual(
                note,
                f"other programs took up to {shares[0]} % of the machine, and held servers up for"
                f" up to {shares[1]} % of the time: compare CPU µs rather than requests/s",
            )

    def test_behind(self) -> None:
        """Who does not keep up with a schedule is told of."""
        workload = evolve(self.workload, rate=1000)
        self.assertEqual(notesOn(workload, self.rounds(), self.titles), [])
        self.assertEqual(
            notesOn(workload, self.rounds(rate=900.0), self.titles),
            ["ours (compiled) kept up with 90 % of the schedule"],
        )

    def test_table(self) -> None:
        """There is a line for each contender, with ratios to the first."""
        lines = tableOf(self.rounds(rate=2500.0, cpu=5.0), self.titles).splitlines()
        rows = [line.split("  ") for line in lines]
        cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
        latencies = ["1.00", "2.00", "3.00", "50.0"]
        self.assertEqual(
            cells,
            [
                [
                    *("requests/s", ": echo", "CPU µs", ": echo"),
                    *("p50 ms", "p99 ms", "p99.9 ms", "peak MB"),
                ],
                ["twisted echo", "1,000", "1", "10.0", "1", *latencies],
                ["ours (compiled)", "2,500", "2.50", "5.0", "0.50", *latencies],
            ],
        )

    def test_targets(self) -> None:
        """A target is reached by the median of the rounds' ratios, or is missed."""
        results = {"64x1x16": self.rounds(rate=2000.0, cpu=4.0)}
        for least, verdict in ((2.0, "met   "), (2.1, "MISSED")):
            (told,) = judge(results, False, [Target("64x1x16", "ours", least)])
            self.assertEqual(told.figure, Spread(2.0, 2.0, 2.0))
            self.assertEqual(
                told.write(self.titles),
                f"{verdict}  64x1x16, ours (compiled): requests/s: 2.00 × twisted echo, at least"
                f" {least:g}; by CPU time 2.50",
            )

    def test_most(self) -> None:
        """A target may be a figure that must not be exceeded."""
        for p99, verdict in ((5.0, "met   "), (5.5, "MISSED")):
            results = {"open-20000": self.rounds(p99=p99)}
            (told,) = judge(results, False)
            self.assertEqual(
                told.write(self.titles),
                f"{verdict}  open-20000, ours (compiled): p99 ms: {p99:.2f}, at most 5",
            )

    def test_notMeasured(self) -> None:
        """Of what was not measured, or not in that way, nothing is said."""
        results = {"64x1x16": self.rounds()}
        (told,) = judge(results, False)
        self.assertEqual((told.target.than, told.isMet), (BARE, False))
        self.assertEqual(judge({"64x1x16": {"ours": [dict(self.quiet)]}}, False), [])
        results = {"64x16x16": self.rounds(rate=1500.0)}
        self.assertEqual([told.isMet for told in judge(results, isCompiled=False)], [True])
        self.assertEqual([told.isMet for told in judge(results, isCompiled=True)], [False])


class PlotTests(SynchronousTestCase):
    """The picture."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def write(self, version: str, rate: float) -> None:
        """Keep the results of a release."""
        figures = FiguresTests()
        results = {"64x1x16": figures.rounds(rate=rate), "open-5000": figures.rounds()}
        text = json.dumps(summaryOf(results, figures.titles, {}), default=asdict)
        (self.folder / f"{version}.json").write_text(text)

    def test_draw(self) -> None:
        """Each release has a dot, the newest the darkest; a schedule has none."""
        self.write("0.10.0", 2000.0)
        self.write("0.9.0", 500.0)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            plot.main(["--results", str(self.folder)])
        file = self.folder / "gates.svg"
        self.assertEqual(said.getvalue(), f"{file}\n")
        picture = ElementTree.fromstring(file.read_text())
        dots = [element for element in picture.iter() if element.tag.endswith("circle")]
        self.assertEqual([dot.get("opacity") for dot in dots], ["0.25", "1.00"])
        # The scale is from a half to twice as much: its ends are the picture's.
        self.assertEqual([dot.get("cx") for dot in dots], ["250.0", "900.0"])
        texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
        self.assertIn("Releases, from pale to dark: 0.9.0, 0.10.0", texts)
        self.assertIn("ours (compiled)", texts)
        self.assertNotIn("twisted echo", texts)
        self.assertEqual([text for text in texts if "schedule" in (text or "")], [])

    def test_nothing(self) -> None:
        """Without results, or with others, one line says so."""
        for name, text, message in (
            ("README.md", "", "there are no results yet"),
            ("0.1.0.json", "[", "0.1.0.json: "),
            ("0.1.0.json", "{}", "0.1.0.json: no results of bench.gates: KeyError('summary')"),
        ):
            (self.folder / name).write_text(text)
            error = self.assertRaises(SystemExit, plot.main, ["--results", str(self.folder)])
            self.assertIn(message, str(error))
            self.assertNotIn("\n", str(error))
