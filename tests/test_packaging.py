"""
Tests for what makes msgserver a package, and a plugin of Twisted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import msgserver

ROOT = Path(__file__).resolve().parent.parent


class PackagingTests(SynchronousTestCase):
    """The checkout as a whole."""

    def python(self, *arguments: str) -> str:
        """Run Python in the checkout, and give what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_packages(self) -> None:
        """Every package of ours is installed, its types too."""
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        packages = parser["options"]["packages"].split()
        ours = {
            ".".join(file.parent.relative_to(ROOT).parts)
            for file in (ROOT / "msgserver").rglob("__init__.py")
        }
        self.assertEqual(set(packages), ours | {"twisted.plugins"})
        self.assertTrue((ROOT / "msgserver" / "py.typed").exists())

    def test_pluginFolder(self) -> None:
        """The plugin's folders are Twisted's: a package of ours would hide it."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_plugin(self) -> None:
        """Twisted finds the plugin in a checkout."""
        printed = self.python("-m", "twisted", "msgserver", "--version")
        self.assertTrue(printed.startswith(f"msgserver {msgserver.__version__}, "), printed)

    def test_reactor(self) -> None:
        """twistd chooses the reactor: nothing that it imports of ours installs one."""
        code = "import sys, msgserver.tap; print('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(self.python("-c", code), "False\n")
