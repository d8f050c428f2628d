"""
Tests for what applies faults and judges the suite by them, on a tiny tree of its own.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.mutants.__main__ import main
from tests.mutants.faultlist import Fault
from tests.mutants.hunting import Hunt, Verdict
from tests.mutants.simulated import Found, readSimulation
from tests.mutants.trees import ROOT, Tree
from tests.mutants.trials import KILLED, End, Outcome, judge, runTests

FILES = {
    ".gitignore": "__pycache__/\n/ignored/\n",
    "ignored/file": "",
    "msgserver/__init__.py": "",
    "msgserver/sums.py": """
        def add(a: int, b: int) -> int:
            return a + b
        def multiply(a: int, b: int) -> int:
            return a * b
        """,
    "tests/__init__.py": "",
    "tests/test_other.py": """
        from unittest import TestCase
        from msgserver.sums import add
        class OtherTests(TestCase):
            def test_other(self) -> None:
                self.assertEqual(add(0, 0), 0)
        """,
    "tests/test_sums.py": """
        from unittest import TestCase
        from msgserver.sums import add
        class SumsTests(TestCase):
            def test_add(self) -> None:
                self.assertEqual(add(2, 3), 5)
            def test_more(self) -> None:
                self.assertEqual(add(2, 4), 6)
        """,
    "tests/endtoend/__init__.py": "",
    "tests/endtoend/test_all.py": """
        from unittest import TestCase
        from msgserver.sums import multiply
        class AllTests(TestCase):
            def test_multiply(self) -> None:
                self.assertEqual(multiply(2, 3), 6)
        """,
}


class TinyCase(SynchronousTestCase):
    """Has a tree of one module, whose tests take no time."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve() / "tree"
        for name, text in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        self.faults = self.root.parent / "faults"
        self.faults.mkdir()

    def fault(self, old: str, new: str, name: str = "err") -> None:
        """Write one more fault in sums.py down."""
        with (self.faults / "sums.toml").open("a") as file:
            file.write('[["msgserver/sums.py"]]\n')
            file.write(f'name = "{name}"\nrule = "S7"\nold = "{old}"\nnew = "{new}"\n')

    def run_(self, *arguments: str) -> tuple[int, str]:
        """Run the command; give its exit status and what it has printed."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            status = main([f"--faults={self.faults}", f"--tree={self.root}", *arguments])
        return status, printed.getvalue()


class CommandTests(TinyCase):
    """What the command says, and its exit status."""

    def test_caught(self) -> None:
        """The test that caught a fault is named; the tree is as it was."""
        self.fault("a + b", "a - b")
        status, printed = self.run_("--fast")
        self.assertEqual(status, 0)
        self.assertIn("err  <- tests.test_sums.SumsTests.test_add  (", printed)
        self.assertIn("1 faults: 1 caught\n", printed)
        self.assertIn("a + b", (self.root / "msgserver" / "sums.py").read_text())

    def test_caughtByProcesses(self) -> None:
        """Tests with real processes are asked where no other has caught it, unless told."""
        self.fault("a * b", "a + b")
        self.assertIn("<- tests.endtoend.test_all.AllTests.test_multiply", self.run_()[1])
        self.assertEqual(self.run_("--fast")[0], 1)

    def test_survived(self) -> None:
        """A fault that no test catches is shown, and is a failure."""
        self.fault("a * b", "a // b")
        status, printed = self.run_("--fast")
        self.assertEqual(status, 1)
        self.assertIn("SURVIVED", printed)
        self.assertIn("-    return a * b\n+    return a // b\n", printed)

    def test_notThere(self) -> None:
        """A fault that cannot be made is one in the list."""
        self.fault("a - b", "a + b")
        status, printed = self.run_("--fast")
        self.assertEqual(status, 1)
        self.assertIn("BAD FAULT S7  sums.py: err  <- its old text occurs 0 times", printed)

    def test_importFails(self) -> None:
        """A fault that leaves nothing to test is not caught by that."""
        self.fault("def add", "import nothing_of_that_name\\ndef add")
        status, printed = self.run_("--fast")
        self.assertEqual(status, 1)
        self.assertIn("BAD FAULT", printed)
        self.assertIn("its import fails: ModuleNotFoundError", printed)

    def test_notGreen(self) -> None:
        """Where a test fails without a fault, nothing is learned."""
        self.fault("a + b", "a - b")
        (self.root / "tests" / "test_other.py").write_text("import nothing_of_that_name\n")
        status, printed = self.run_("--fast")
        self.assertEqual(status, 1)
        self.assertIn("Without a fault, a test failed:\n  tests.test_other", printed)
        self.assertEqual(self.run_("--fast", "--without=tests.test_other")[0], 0)

    def test_endless(self) -> None:
        """A test that takes too long has caught it, and that is said."""
        self.fault("a + b", "next(each for each in iter(int, 1) if each)")
        status, printed = self.run_("--fast", "--seconds=1")
        self.assertEqual(status, 0)
        self.assertIn("<- a time-out in tests.test_sums.SumsTests.test_add", printed)

    def test_list(self) -> None:
        """The faults are listed, those that were asked for alone."""
        self.fault("a + b", "a - b", "subtract")
        self.fault("a * b", "a - b", "add up")
        status, printed = self.run_("--list", "add up")
        self.assertEqual((status, printed), (0, "S7  msgserver/sums.py: add up\n"))

    def test_without(self) -> None:
        """A module is left out by its whole name, and a package with all that is in it."""
        self.fault("a + b", "a - b")
        self.assertEqual(self.run_("--fast", "--without=tests.test_sums")[0], 1)
        self.fault("a * b", "a + b", "add up")
        self.assertEqual(self.run_("add up", "--without=tests.endtoend")[0], 1)

    def test_refused(self) -> None:
        """What makes no sense is said at once, and so is where to look."""
        self.fault("a + b", "a - b")
        for error, *arguments in (
            ("'0' is no whole number of 1 or more", "--jobs=0"),
            ("'x' is no whole number of 1 or more", "--seconds=x"),
            ("'-1' is no whole number of 0 or more", "--simulate=-1"),
            ("there is no module 'tests.test_sum' in ", "--without=tests.test_sum"),
            ("there is no module 'tests.' in ", "--without=tests."),
            ("there is no module '' in ", "--without="),
            ("there is no such fault: --list, ", "nothing of that name"),
        ):
            printed = io.StringIO()
            with redirect_stderr(printed), self.assertRaises(SystemExit) as caught:
                self.run_(*arguments)
            self.assertEqual(caught.exception.code, 2)
            self.assertIn(error, printed.getvalue().splitlines()[-1])

    def test_interrupted(self) -> None:
        """Ctrl-C is one line and a status of its own, and ends what runs."""
        self.fault("a + b", "a - b")
        self.fault("a * b", "a // b", "divide")
        tryFault = Hunt.tryFault
        ended: list[Hunt] = []

        def interrupt(hunt: Hunt, fault: Fault, tree: Tree) -> Verdict:
            if fault.name == "divide":
                raise KeyboardInterrupt
            return tryFault(hunt, fault, tree)

        self.patch(Hunt, "tryFault", interrupt)
        self.patch(Hunt, "end", lambda hunt: ended.append(hunt))
        status, printed = self.run_("--fast")
        self.assertEqual(status, 130)
        self.assertTrue(
            printed.endswith("\nInterrupted. Of 2 faults 1 were tried: 1 caught.\n"), printed
        )
        self.assertEqual(len(ended), 1)

    def test_nobodyReads(self) -> None:
        """C{--list | head} ends without a word."""
        self.fault("a + b", "a - b")
        command = [sys.executable, "-m", "tests.mutants", f"--faults={self.faults}", "--list"]
        read, write = os.pipe()
        os.close(read)
        ended = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))


class TreeTests(TinyCase):
    """Copies of a tree."""

    def test_copy(self) -> None:
        """What git ignores is not copied."""
        tree = Tree.copy(self.root, self.root.parent / "copy")
        there = {
            str(each.relative_to(tree.root)) for each in tree.root.rglob("*") if each.is_file()
        }
        self.assertEqual(there, set(FILES) - {"ignored/file"})

    def test_goOn(self) -> None:
        """Where it is asked, all failures are told."""
        (self.root / "msgserver" / "sums.py").write_text("def add(a: int, b: int) -> int: return 0")
        outcome = runTests(Tree(self.root), ["tests.test_sums"], goOn=True)
        failed = ("tests.test_sums.SumsTests.test_add", "tests.test_sums.SumsTests.test_more")
        self.assertEqual(outcome, Outcome(End.FAILED, failed[0], failed=failed))

    def test_otherPackage(self) -> None:
        """It is seen where another package than the tree's would be tested."""
        (self.root / "msgserver" / "sums.py").unlink()
        (self.root / "msgserver" / "__init__.py").unlink()
        (self.root / "msgserver").rmdir()
        outcome = runTests(Tree(self.root), ["tests.test_sums"])
        self.assertEqual(outcome.end, End.BAD)


class JudgeTests(SynchronousTestCase):
    """What is made of what a run has written."""

    def test_green(self) -> None:
        """All tests have run, and the process says so."""
        self.assertEqual(judge(["begun t.a", "begun t.b", "done "], 0, ""), Outcome(End.GREEN))

    def test_firstFailure(self) -> None:
        """The first test that failed is named, not what came after it."""
        outcome = judge(["begun t.a", "begun t.b", "failed t.b", "failed t.c"], 1, "")
        self.assertEqual((outcome.end, outcome.test), (End.FAILED, "t.b"))

    def test_timeout(self) -> None:
        """The failure that a time-out ends in is not the reason."""
        outcome = judge(["begun t.a", "timeout t.a", "failed t.a", "done "], 1, "")
        self.assertEqual((outcome.end, outcome.test), (End.TIMEOUT, "t.a"))

    def test_crash(self) -> None:
        """A process that ended within a test is told with that test."""
        outcome = judge(["begun t.a", "begun t.b"], -11, "Fatal Python error")
        self.assertEqual((outcome.end, outcome.test), (End.CRASHED, "t.b"))
        self.assertIn("Fatal Python error", outcome.detail)

    def test_nothing(self) -> None:
        """A process that never came to a test is none that passed."""
        self.assertEqual(judge([], 0, "").end, End.CRASHED)

    def test_bad(self) -> None:
        """What could not be imported is told as it was, line by line."""
        outcome = judge(["bad Traceback\\nImportError: no"], 1, "")
        self.assertEqual((outcome.end, outcome.detail), (End.BAD, "Traceback\nImportError: no"))


class SimulationTests(SynchronousTestCase):
    """What is made of what the simulator says."""

    def test_found(self) -> None:
        """The invariant and the number of steps are read."""
        printed = "VIOLATION S6: it runs again\nAfter 1,234 steps, in the world of seed 1\n"
        found = readSimulation(1, printed)
        self.assertEqual(found, Found(1234, "S6: it runs again"))
        self.assertEqual(str(found), "yes after 1,234 steps: S6: it runs again")

    def test_notFound(self) -> None:
        """Every invariant held."""
        self.assertEqual(str(readSimulation(0, "1,000 steps in 2 worlds held")), "no")

    def test_crashed(self) -> None:
        """What it says last is its reason."""
        found = readSimulation(1, "Traceback\nKeyError: 1\n")
        self.assertEqual(str(found), "yes: it crashed: KeyError: 1")

    def test_endless(self) -> None:
        """It did not end by itself."""
        self.assertEqual(str(readSimulation(KILLED, "")), "yes: it never came to an end")
