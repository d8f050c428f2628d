"""
Tests for the list of deliberate faults: it is not to rot when what it points at changes.
"""

from __future__ import annotations

import re
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.mutants.faultlist import BadFault, Fault, readFaults
from tests.mutants.suites import LIKELY, SLOW, Suite
from tests.mutants.trees import ROOT

RULES = {"L": 6, "H": 5, "S": 9, "U": 5, "B": 5}
"""How many rules there are of each letter."""

MUST_HAVE = (
    "drop the index check",
    "let an old connection's close through to the login",
    "forget the running requests of earlier connections",
    "answer from the wrong generation",
    "keep one response too many in a generation",
    "call loggedOut twice",
)
"""The faults without which the list is not worth its name."""


class FaultsTests(SynchronousTestCase):
    """The faults, and the files that they are for."""

    faults = readFaults()

    def test_areMany(self) -> None:
        """There are enough of them, and the best known are among them."""
        self.assertGreater(len(self.faults), 200)
        names = {fault.name for fault in self.faults}
        self.assertEqual([name for name in MUST_HAVE if name not in names], [])

    def test_namesAreUnique(self) -> None:
        """A name says which fault it is."""
        names = Counter(fault.name for fault in self.faults)
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_areApplicable(self) -> None:
        """Each is found once in its file, changes it, and leaves a program."""
        wrong = []
        for fault in self.faults:
            try:
                source = (ROOT / fault.file).read_text()
                mutated = fault.applied(source)
                compile(mutated, fault.file, "exec")
                if mutated == source:
                    wrong.append(f"{fault.name}: changes nothing")
            except (BadFault, OSError, SyntaxError) as error:
                wrong.append(f"{fault.name}: {error!r}")
        self.assertEqual(wrong, [])

    def test_rules(self) -> None:
        """Each names a rule that there is; and each letter has some."""
        for fault in self.faults:
            match = re.fullmatch(r"([LHSUB])([1-9])", fault.rule)
            self.assertTrue(match and int(match[2]) <= RULES[match[1]], fault)
        self.assertEqual({fault.rule[0] for fault in self.faults}, set(RULES))

    def test_areDifferent(self) -> None:
        """No fault is another's by a second name."""
        changes = Counter((fault.file, fault.old, fault.new) for fault in self.faults)
        self.assertEqual([change for change, count in changes.items() if count > 1], [])


class FaultTests(SynchronousTestCase):
    """One fault."""

    fault = Fault("add one too many", "S7", "msgserver/sums.py", "a + b", "a + b + 1")

    def test_applied(self) -> None:
        """It is put where its old text is."""
        self.assertEqual(self.fault.applied("x = a + b\n"), "x = a + b + 1\n")

    def test_notOnce(self) -> None:
        """It cannot be made where that is not there, or there twice."""
        for source in ("x = a\n", "x = a + b\ny = a + b\n"):
            self.assertRaises(BadFault, self.fault.applied, source)

    def test_diff(self) -> None:
        """What it changes can be shown."""
        self.assertEqual(
            self.fault.diff("x = a + b\n").splitlines()[2:],
            ["@@ -1 +1 @@", "-x = a + b", "+x = a + b + 1"],
        )

    def test_isMeant(self) -> None:
        """It goes by parts of its name, its file and its rule."""
        for word in ("too many", "S7", "sums.py", "msgserver/sums.py", ""):
            self.assertTrue(self.fault.isMeant(["nothing", word]), word)
        for word in ("too few", "S", "sums"):
            self.assertFalse(self.fault.isMeant([word]), word)


class SuiteTests(SynchronousTestCase):
    """Which tests run first."""

    suite = Suite(ROOT)

    def test_likely(self) -> None:
        """A module's own tests come first, and then all others, each once."""
        likely = self.suite.likely("msgserver/sessions.py")
        self.assertEqual(likely[0], "tests.test_sessions")
        self.assertIn("tests.test_sessions_properties", likely)
        unlikely = self.suite.unlikely("msgserver/sessions.py")
        self.assertEqual(sorted(likely + unlikely), sorted(self.suite.fast))
        self.assertEqual(self.suite.likely("msgserver/wire/gate.py"), ["tests.wire.test_gate"])

    def test_everyFaultHasLikelyTests(self) -> None:
        """Nothing is left to chance for the files with faults."""
        files = {fault.file for fault in readFaults()}
        self.assertEqual([file for file in files if not self.suite.likely(file)], [])

    def test_likelyAreThere(self) -> None:
        """The table names files and tests that there are."""
        self.assertEqual([file for file in LIKELY if not (ROOT / file).exists()], [])
        for beginnings in LIKELY.values():
            for beginning in beginnings.split():
                named = [each for each in self.suite.fast if each.startswith(f"tests.{beginning}")]
                self.assertTrue(named, beginning)

    def test_slow(self) -> None:
        """Tests with real processes are apart, and ours are in neither."""
        self.assertIn("tests.endtoend.test_server", self.suite.slow)
        everything = {*self.suite.fast, *self.suite.slow}
        self.assertFalse(any(each.startswith("tests.mutants") for each in everything))
        self.assertFalse(any(each.startswith(SLOW) for each in self.suite.fast))
        folders = {each.rpartition(".")[0] for each in everything}
        self.assertTrue({"tests", "tests.wire", "tests.remote", "tests.endtoend"} <= folders)
