"""
Every attack of L{tests.attacks}, at a small part of its strength, and limits as much smaller.

No figure of time is judged: only that the user was served throughout, what the server held, and
that it was given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial.unittest import TestCase

from tests.attacks.attacks import ATTACKS
from tests.attacks.runs import Report, run
from tests.attacks.tables import table

SCALE = 0.02

SILENT = {
    "silent": "closed without a word",
    "silent-many": "closed after a word",
    "drip": "closed after a word",
    "tls": "connected",
    "office": "closed without a word",
}
LARGE = {"packets": "closed after a word", "reader": "connected"}
PASSWORDS = dict.fromkeys(("passwords", "passwords-many"), "said 406 Not Acceptable")
MACS = dict.fromkeys(("macs", "macs-many"), "said 401 Unauthorized")
CHURN = dict.fromkeys(("churn", "churn-many"), "closed by the attacker")


class AttackTests(TestCase):
    timeout = 120
    """Seconds until a run is broken off: far more than any needs."""

    async def attacked(self, happened: Mapping[str, str]) -> None:
        """
        Run some attacks at the same time, each on a server of its own.

        @param happened: by an attack's name, what the attacker must have counted: else nothing
            was shown.
        """
        # All of them end, whatever becomes of one: none leaves a server behind.
        running = [self.attack(name) for name in happened]
        await DeferredList(running)
        for report in await gatherResults(running):
            self.assertEqual(report.faults, [], table(report))
            self.assertGreater(report.counts[happened[report.name]], 0, table(report))

    def attack(self, name: str) -> Deferred[Report]:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        return Deferred.fromCoroutine(run(name, SCALE, folder))

    async def test_silent(self) -> None:
        """H3, L1: strangers who say nothing, or a byte now and then, slow lines included."""
        await self.attacked(SILENT)

    async def test_large(self) -> None:
        """B3, B4: packets and lines of the greatest length; clients who do not read answers."""
        await self.attacked(LARGE)

    async def test_passwords(self) -> None:
        """L: wrong passwords."""
        await self.attacked(PASSWORDS)

    async def test_macs(self) -> None:
        """H1: handshakes with wrong macs."""
        await self.attacked(MACS)

    async def test_churn(self) -> None:
        """B1: connections that are closed at once."""
        await self.attacked(CHURN)

    def test_all(self) -> None:
        """No attack is left out above."""
        self.assertEqual({*SILENT, *LARGE, *PASSWORDS, *MACS, *CHURN}, set(ATTACKS))
