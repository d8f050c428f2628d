"""
Tests for how processes are ended: none runs on when whoever started it is gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from tests.mutants.trees import Tree
from tests.mutants.trials import KILLED, Ended, Running, runInSession


class RunningTests(SynchronousTestCase):
    """Processes end with whoever started them."""

    command = [
        sys.executable,
        "-c",
        "import subprocess\n"
        "outlive = ['sh', '-c', 'sleep 20; echo outlived']\n"
        "subprocess.Popen(outlive, process_group=0)\n"
        "print('begun', flush=True)\n"
        "subprocess.run(outlive)",
    ]
    """Has two children, one in a group of its own, that write something if they may."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Tree(Path(folder.name))

    def test_endAll(self) -> None:
        """All are killed, those that are in other groups too; and no other is started."""
        read, write = os.pipe()
        running = Running()
        with open(read, "rb") as reader:
            with open(write, "wb") as writer:
                process = running.begin(self.command, self.tree, writer)
            self.assertEqual(reader.readline(), b"begun\n")
            running.endAll()
            # The end comes when nobody is left who could write.
            self.assertEqual(reader.read(), b"")
            self.assertEqual(process.wait(), KILLED)
            running.end(process)
        self.assertRaises(Ended, runInSession, self.command, self.tree, running)

    def test_starterIsGone(self) -> None:
        """The end of the pipe, which comes when the starter is killed, is theirs."""
        read, write = os.pipe()
        running = Running()
        with open(read, "rb") as reader:
            with open(write, "wb") as writer:
                process = running.begin(self.command, self.tree, writer)
            self.assertEqual(reader.readline(), b"begun\n")
            assert process.stdin is not None
            process.stdin.close()
            self.assertEqual(reader.read(), b"")
            self.assertEqual(process.wait(), KILLED)
            running.end(process)
