"""Tests for L{msgserver.compiled}, and for what is compiled."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import isfunction
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from msgserver.compiled import howSessionsRun, isCompiled
from msgserver.sessions import Connection
from tests.compilation import copyCompiled, whyNot
from tests.mutants.trees import Tree

SUITE = [
    f"tests.test_{name}"
    for name in (
        *("answering", "draining", "gathering", "kept", "msgprotocol", "msgservice", "sessions"),
        *("sessions_again", "sessions_machine", "sessions_properties", "window"),
    )
]
"""What is run again on what is compiled: all that is about sessions."""


class CompiledTests(SynchronousTestCase):
    """What is told of the sessions of this process."""

    def test_isCompiled(self) -> None:
        """It is what the sessions are."""
        self.assertEqual(isCompiled, not isfunction(Connection.receive))
        how = "sessions: compiled" if isCompiled else "sessions: interpreted"
        self.assertEqual(howSessionsRun(), how)


class WheelTests(SynchronousTestCase):
    """A wheel that is built with C{MSGSERVER_COMPILE=1}."""

    def python(self, tree: Tree, *arguments: str) -> str:
        """Run Python in the tree, and give what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tree.root,
            env=tree.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_suite(self) -> None:
        """Its sessions are compiled, and keep every rule that the interpreted ones keep."""
        missing = "these are its tests" if isCompiled else whyNot()
        if missing is not None:
            raise SkipTest(missing)
        folder = TemporaryDirectory(prefix="msgserver-compiled-")
        self.addCleanup(folder.cleanup)
        tree = copyCompiled(Path(folder.name))
        version = self.python(tree, "-m", "twisted", "msgserver", "--version")
        self.assertTrue(version.endswith("sessions: compiled\n"), version)
        told = self.python(tree, "-m", "twisted.trial", "--reporter=text", *SUITE)
        # All but what patches; and the modules were not empty.
        passed = re.search(r"PASSED \(skips=1, successes=(\d+)\)", told)
        assert passed is not None, told
        self.assertGreater(int(passed[1]), 200)
