"""The benchmarks as they are run, with as few logins as there can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from bench.loginphases import ROWS
from tests.endtoend.processes import PATIENCE, ROOT

SMALL = "--only unix --logins 6 --concurrency 1 3 --rounds 1"


class LoginsTests(SynchronousTestCase):
    def test_logins(self) -> None:
        """Every phase has every figure, in print and in the file, over a link and two gates."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        file = folder / "figures.json"
        told = subprocess.run(
            [sys.executable, "-m", "bench.logins", *SMALL.split(), "--json", file],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((told.returncode, told.stderr), (0, "round 1 of 1: unix\n"))
        written = json.loads(file.read_text())
        phases = ["1 at a time", "3 at a time", "3 at a time, again"]
        self.assertEqual(list(written["rounds"]), phases)
        for phase in phases:
            self.assertIn(f"\n{phase}  ", told.stdout)
            (figures,) = written["rounds"][phase]["unix"]
            self.assertEqual(list(figures), [row.key for row in ROWS])
            self.assertTrue(all(figures[key] > 0 for key in ("rate", "p50", "p99", "clientsCpu")))
            self.assertEqual(
                written["summary"][phase]["rate"]["figures"]["unix"],
                dict.fromkeys(("median", "least", "most"), figures["rate"]),
            )
        for row in ROWS:
            self.assertEqual(told.stdout.count(f"\n{row.title}  "), len(phases), row.title)
