"""
The tests that docs/testing.md shows pass, by themselves and as files; and its tables are right.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import unittest

from twisted.trial.unittest import SynchronousTestCase

from msgserver.testing import MemoryServer, everyCut
from msgserver.testing.passing import PATIENCE
from tests.pages import ROOT, PageTestCase, read, tables

PAGE = "docs/testing.md"


class TestingTests(PageTestCase):
    """The tests of the page."""

    page = PAGE
    proved = {
        "ShopHandler": "test_trial",
        "ShopTests": "test_trial",
        "makeServer": "test_functions",
        "test_apple": "test_functions",
        "test_twoUsers": "test_functions",
        "test_away": "test_functions",
        "buyTwo": "test_functions",
        "test_everyCut": "test_functions",
        "CarelessShop": "test_careless",
        "makeCarelessServer": "test_careless",
        "test_careless": "test_careless",
        "test_halfASecond": "test_functions",
        "test_kicked": "test_functions",
        "BrokenShop": "test_broken",
        "test_broken": "test_broken",
        "Tickets": "test_functions",
        "test_tickets": "test_functions",
        "test_awayForTooLong": "test_functions",
    }

    def prepare(self) -> None:
        """Let the page import the file that it has."""
        self.savePage(PAGE)
        sys.path.insert(0, str(self.folder))

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_trial(self) -> None:
        """The test case passes."""
        result = unittest.TestResult()
        case = self.shown["ShopTests"]
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (3, [], []))

    def test_functions(self) -> None:
        """The functions pass, those that log no error."""
        names = [name for name, test in self.proved.items() if test == "test_functions"]
        for name in names:
            if name.startswith("test_"):
                self.shown[name]()

    def test_careless(self) -> None:
        """The handler that forgets is found out, as the page says."""
        self.shown["test_careless"]()
        self.assertRaises(
            AssertionError, everyCut, self.shown["makeCarelessServer"], self.shown["buyTwo"]
        )

    def test_broken(self) -> None:
        """The error that is logged is found, and trial has it, too."""
        self.shown["test_broken"]()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_commands(self) -> None:
        """The commands that the page names run its files, and these pass."""
        commands = re.findall(r"Run it with `python ([^`]+)`", read(PAGE))
        outcomes = []
        for command in commands:
            finished = subprocess.run(
                [sys.executable, *command.split()],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(finished.returncode, 0, finished.stdout + finished.stderr)
            outcomes.append(finished.stdout.splitlines()[-1])
        self.assertEqual(outcomes[0], "PASSED (successes=3)")
        self.assertRegex(outcomes[1], " 2 passed in ")


class TablesTests(SynchronousTestCase):
    """What the page says of names and defaults is so."""

    def test_calls(self) -> None:
        """Each call of the tables is one of the server's, with the arguments that it has."""
        rows = [
            row
            for heading in ("## Break the connection", "## Let time pass", "## Logins that end")
            for row in tables(PAGE, heading)
        ]
        named = set()
        for cell, _ in rows:
            match = re.match(r"`(\w+)(?:\((.*)\))?`", cell)
            assert match is not None, cell
            named.add(match[1])
            if match[2] is None:
                continue
            known = inspect.signature(getattr(MemoryServer, match[1])).parameters
            for argument in filter(None, match[2].split(", ")):
                name, _, default = argument.partition("=")
                self.assertIn(name, known, cell)
                if default.isdecimal():
                    self.assertEqual(known[name].default, int(default), cell)
        public = {name for name in dir(MemoryServer) if not name.startswith("_")}
        self.assertEqual(named - {"clock"}, public - {"stop"})
        self.assertEqual(PATIENCE, 600)

    def test_options(self) -> None:
        """The options of everyCut are those that there are, with these defaults."""
        shown = {name.strip("`"): default for name, default, _ in tables(PAGE, "## At every byte")}
        parameters = inspect.signature(everyCut).parameters.values()
        options = {
            each.name: str(each.default) for each in parameters if each.kind is each.KEYWORD_ONLY
        }
        self.assertEqual(shown, options)
