"""
The chaos run, as short as it can be and still break enough; and a small reconnect storm.

Faults come from a fixed seed; when they strike is the machine's affair. No figure of time is
judged: only that there was something to survive, and that the promise was kept.
"""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import TestCase

from tests.chaos.runs import Report, Settings, attacked, killed, stunned
from tests.chaos.storm import BACK_OFF, NO_BACK_OFF, storm
from tests.chaos.tables import casesOf, table

SEED = 20
CLIENTS = 100
STORM = 200
SECONDS = 8.0


class ChaosTests(TestCase):
    timeout = 300
    """Seconds until a run is broken off: far more than any needs."""

    def settings(self, clients: int, seconds: float = 0.0, sessions: str = "any") -> Settings:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        return Settings(folder, SEED, clients, seconds, sessions)

    def assertKept(self, report: Report) -> None:
        """See that nothing ran twice, was lost or wrong, and no server complains or leaks."""
        about = "\n".join([table(report), *casesOf(report)])
        verdict = report.verdict
        cases = (verdict.duplicates, verdict.lost, verdict.wrong, report.tracebacks)
        self.assertEqual(cases, ([], [], [], []), about)
        self.assertTrue(report.isGood, about)
        ended = verdict.answered + verdict.failed + verdict.unknown
        self.assertEqual(ended, verdict.sent, about)
        self.assertLessEqual(verdict.executed, verdict.sent, about)

    def assertThereWere(self, report: Report, *names: str) -> None:
        """See that a run was one: what nothing happened to has shown nothing."""
        told = {**report.faults, **report.counts}
        for name in names:
            self.assertGreater(told.get(name, 0), 0, f"{name}: {table(report)}")

    async def test_faults(self) -> None:
        """S6, S8, H4: connections that break at any byte cost no answer, and run nothing twice."""
        report = await attacked(self.settings(CLIENTS, SECONDS))
        self.assertKept(report)
        self.assertThereWere(
            report,
            # Those which even a slow machine has some of in the time.
            *("cuts, reset", "cuts, end", "stalls", "asked again", "replays", "reconnections"),
        )
        self.assertGreater(report.verdict.failed, 0)
        self.assertGreater(report.verdict.answered, CLIENTS)

    async def test_faultsIncreasing(self) -> None:
        """S7: the same where sessions count up, and a request that is not known ends the login."""
        report = await attacked(self.settings(CLIENTS // 2, SECONDS / 2, "increasing"))
        self.assertKept(report)
        self.assertThereWere(report, "cuts, reset", "asked again", "replays", "reconnections")

    async def test_frozen(self) -> None:
        """S6: a gate that stands still for a while loses nothing, though connections break."""
        report = await stunned(self.settings(CLIENTS // 2, 2.0))
        self.assertKept(report)
        self.assertThereWere(report, "asked again", "reconnections")

    async def test_killed(self) -> None:
        """U5: of a gate that is killed nothing is left but OutcomeUnknown; nothing runs twice."""
        report = await killed(self.settings(CLIENTS // 2, 2.0))
        self.assertKept(report)
        self.assertThereWere(report, "gates killed")
        self.assertGreater(report.verdict.unknown, 0)
        # Each had to log in again.
        self.assertGreaterEqual(report.counts["logins"], CLIENTS)

    async def test_storm(self) -> None:
        """S8: all who are dropped at once hear all that was kept for them."""
        self.assertStorm(await storm(self.settings(STORM), BACK_OFF, isDouble=False))

    async def test_stormOnTheWayBack(self) -> None:
        """S8: and so do those who are dropped again when half of them are back."""
        report = await storm(self.settings(STORM), NO_BACK_OFF, isDouble=True)
        self.assertStorm(report)
        self.assertGreaterEqual(report.counts["attempts"], 2 * STORM + STORM // 2)

    def assertStorm(self, report: Report) -> None:
        """See that all had to come back, under the login that they had, and were answered."""
        self.assertKept(report)
        self.assertEqual(report.verdict.answered, report.verdict.sent)
        self.assertThereWere(report, "asked again", "replays")
        self.assertGreaterEqual(report.counts["reconnections"], STORM)
        self.assertEqual(report.counts["logins"], STORM)
