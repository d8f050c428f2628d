"""The command line, and what is printed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.__main__ import durationOf, parse, runsOf
from tests.chaos.judge import Verdict
from tests.chaos.runs import Report
from tests.chaos.stage import Usage
from tests.chaos.storm import REMARK
from tests.chaos.tables import casesOf, table
from tests.endtoend.processes import PATIENCE, ROOT

USAGE = Usage(memory=50 * 1024 * 1024, descriptors=12, cpuSeconds=1.0)


def reportOf(verdict: Verdict, after: Usage = USAGE, *tracebacks: str) -> Report:
    """Make the report of a run."""
    return Report("a run", verdict, Counter(), Counter(), list(tracebacks), USAGE, after)


class ReportTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Where all is well, every count is told, and no case."""
        report = reportOf(Verdict(1000, 999, 990, 8, 2, [], [], []))
        self.assertTrue(report.isGood)
        self.assertEqual(casesOf(report), [])
        for line in (
            "requests sent +1,000",
            "executed +999",
            "duplicates +0",
            "outcome unknown +2",
        ):
            self.assertRegex(table(report), rf"\n  {line}\n")

    def test_cases(self) -> None:
        """The first few of each kind are told in full; the others are counted."""
        cases = [f"case {number}" for number in range(7)]
        for kind, verdict in (
            ("duplicate", Verdict(9, 9, 9, 0, 0, cases, [], [])),
            ("lost", Verdict(9, 9, 9, 0, 0, [], cases, [])),
            ("wrong", Verdict(9, 9, 9, 0, 0, [], [], cases)),
        ):
            report = reportOf(verdict)
            self.assertFalse(report.isGood)
            expected = [f"{kind}: case {number}" for number in range(5)]
            self.assertEqual(casesOf(report), [*expected, f"{kind}: and 2 more"])

    def test_server(self) -> None:
        """A traceback in a log and a descriptor that stays open are no good either."""
        kept = Verdict(9, 9, 9, 0, 0, [], [], [])
        report = reportOf(kept, USAGE, "Traceback: ...")
        self.assertEqual((report.isGood, casesOf(report)), (False, ["log: Traceback: ..."]))
        report = reportOf(kept, Usage(USAGE.memory, USAGE.descriptors + 1, 1.0))
        self.assertFalse(report.isGood)
        self.assertRegex(casesOf(report)[0], "^descriptors: ")

    def test_remark(self) -> None:
        """What is to be known about the figures stands behind them."""
        report = reportOf(Verdict(9, 9, 9, 0, 0, [], [], []))
        self.assertNotIn("one Python process", table(report))
        report.remark = REMARK
        self.assertTrue(table(report).endswith(f"\n{REMARK}"))


class CommandTests(SynchronousTestCase):
    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command, and give its exit status and what it said."""
        told = subprocess.run(
            [sys.executable, "-m", "tests.chaos", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return told.returncode, told.stdout, told.stderr

    def test_help(self) -> None:
        """It says what there is to say."""
        status, told, _ = self.run_("--help")
        self.assertEqual(status, 0)
        for option in (
            "--seconds",
            "--clients",
            "--seed",
            "--storm",
            "--sessions",
            "--only",
            "--keep",
        ):
            self.assertIn(option, told)

    def test_nonsense(self) -> None:
        """What makes no sense is one line, and a status."""
        for arguments, error in (
            (["--clients", "0"], "'0' is no whole number from 1 to 5000"),
            (["--seconds", "x"], "'x' is no number from 1 to 86400"),
            (["--only", "nothing"], "invalid choice: 'nothing'"),
        ):
            status, _, told = self.run_(*arguments)
            self.assertEqual(status, 2)
            self.assertIn(error, told)
        for folder, error in (
            (ROOT, f"argument --keep: {ROOT} exists already"),
            (ROOT / "missing" / "new", f"argument --keep: {ROOT / 'missing'} is no folder"),
        ):
            status, begun, told = self.run_("--keep", str(folder))
            self.assertEqual((status, begun), (2, ""))
            self.assertIn(error, told.splitlines()[-1])

    def test_runs(self) -> None:
        """Each kind of run is there, with as many clients as it was given."""
        options = parse(["--clients", "7", "--storm", "9", "--seconds", "3", "--seed", "1"])
        runs = {name: (clients, seconds) for name, clients, seconds, _ in runsOf(options)}
        expected = dict.fromkeys(("faults", "frozen", "killed"), (7, 3.0))
        for name in ("storm0", "storm0again", "storm1", "storm1again"):
            expected[name] = (9, 0.0)
        self.assertEqual(runs, expected)
        options = parse(["--only", "killed"])
        self.assertEqual([name for name, *_ in runsOf(options)], ["killed"])
        self.assertNotEqual(options.seed, parse([]).seed)

    def test_duration(self) -> None:
        """It is known about how long a part takes: longer where there is more to do."""
        self.assertGreater(durationOf("faults", 300, 60.0), 60.0)
        self.assertGreater(durationOf("frozen", 300, 10.0), durationOf("killed", 300, 10.0))
        self.assertGreater(durationOf("storm0", 2000, 0.0), durationOf("storm0", 1000, 0.0))
