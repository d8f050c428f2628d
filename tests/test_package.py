"""L{msgserver} itself: its public names, and what they cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import msgserver

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the checkout, with nothing to read and no terminal to ask at."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
    )


class PublicNamesTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each public name is there, under its own name; another is not."""
        for name in msgserver.__all__:
            self.assertEqual(getattr(msgserver, name).__name__, name)
        with self.assertRaises(AttributeError):
            _ = msgserver.nothing

    def test_pureWithoutTwisted(self) -> None:
        """The pure core is of use where there is no Twisted."""
        told = run(
            "-c",
            "import sys, msgserver.wire.login, msgserver.sessions, msgserver.clientlogin;"
            "print([name for name in sys.modules if name.split('.')[0] in ('twisted', 'zope')])",
        )
        self.assertEqual((told.stdout, told.stderr), ("[]\n", ""))

    def test_passwords(self) -> None:
        """Making a hash of nothing is refused in one line, and nothing else is said."""
        told = run("-W", "error::RuntimeWarning", "-m", "msgserver.passwords")
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertTrue(told.stderr.endswith("no password, no hash\n"), told.stderr)
        self.assertNotIn("Traceback", told.stderr)
        self.assertNotIn("RuntimeWarning", told.stderr)
