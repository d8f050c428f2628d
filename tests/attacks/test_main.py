"""The command line of the attacks, and what is printed of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.attacks.__main__ import parse
from tests.attacks.attacks import ATTACKS, Strength
from tests.attacks.runs import Report, settingOf
from tests.attacks.tables import spread, table
from tests.attacks.test_verdict import seen


class CommandLineTests(SynchronousTestCase):
    def assertMistake(self, arguments: Sequence[str], said: str) -> None:
        """See that a command line is refused, and why."""
        errors = io.StringIO()
        with redirect_stderr(errors), self.assertRaises(SystemExit):
            parse(arguments)
        self.assertIn(said, errors.getvalue())

    def test_defaults(self) -> None:
        """All of them, at full strength."""
        options = parse([])
        self.assertEqual((options.names, options.scale), ([], 1.0))

    def test_mistakes(self) -> None:
        """Names that there are not, and scales that make no sense."""
        self.assertMistake(["silnet"], "no such attack: silnet; there are silent, ")
        for scale in ("0", "1.5", "-1", "nan"):
            self.assertMistake([f"--scale={scale}"], "--scale: above 0, and at most 1")


class StrengthTests(SynchronousTestCase):
    def test_full(self) -> None:
        """At full strength the limits are the defaults: those are what is attacked."""
        for attack in ATTACKS.values():
            self.assertEqual(settingOf(attack, Strength(1.0)), attack.setting)

    def test_weak(self) -> None:
        """Where attacks are weaker, limits are as well, and nothing is ever none."""
        strength = Strength(0.001)
        self.assertEqual((strength.count(2000), strength.count(10, 4)), (2, 4))
        self.assertEqual((strength.seconds(60), strength.seconds(5, 0.3)), (1.0, 0.3))
        setting = settingOf(ATTACKS["reader"], strength)
        self.assertEqual(setting.gate["max_strangers"], 8)
        self.assertEqual(setting.gate["away_timeout"], 1)


class TableTests(SynchronousTestCase):
    def test_spread(self) -> None:
        """The median, the 99th percentile and the longest, in milliseconds."""
        self.assertEqual(spread([]), "none")
        self.assertEqual(spread([0.002, 0.001, 1.5]), "2 / 1,500 / 1,500 (3)")

    def test_table(self) -> None:
        """Everything is told: each period, what was counted, and each fault."""
        report = Report("silent", "they say nothing", seen(), Counter(connected=7), ["a fault"])
        told = table(report)
        self.assertIn("| during | 80.0 | 900 | 90 | 100 / 100 / 100 (1) |", told)
        self.assertIn("The attacker: connected 7.", told)
        self.assertIn("free again after 0.5 s; memory in use in the end: 52.0 MiB", told)
        self.assertIn("FAULT: a fault", told)
        self.assertNotIn("All is well", told)
        never = evolve(report, seen=evolve(seen(), recovery=None), faults=[])
        self.assertIn("never free again", table(never))
        self.assertIn("All is well.", table(never))
