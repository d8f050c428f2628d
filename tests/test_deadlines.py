"""
Tests for L{msgserver.deadlines}: the one timer behind every wait (H3, L1, B3, U2).
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """Items of ten seconds each."""

    def setUp(self) -> None:
        """Make the waits, and note when each item's time ran out."""
        self.clock = Clock()
        self.over: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10, self.expired)

    def expired(self, item: str) -> None:
        """Note it."""
        self.over.append((item, self.clock.seconds()))

    def run20(self) -> None:
        """Let twenty seconds pass in steps of half a second."""
        self.clock.pump([0.5] * 40)

    def test_expires(self) -> None:
        """An item's time is over when it is over, not before, and once."""
        self.deadlines.start("a")
        self.clock.advance(9.99)
        self.assertEqual((self.over, len(self.deadlines)), ([], 1))
        self.clock.advance(0.01)
        self.assertEqual((self.over, len(self.deadlines)), ([("a", 10)], 0))
        self.run20()
        self.assertEqual(self.over, [("a", 10)])

    def test_each(self) -> None:
        """Each item has its own ten seconds, whenever it began."""
        self.deadlines.start("a")
        self.clock.advance(3)
        self.deadlines.start("b")
        self.deadlines.start("c")
        self.clock.advance(0.5)
        self.deadlines.start("d")
        self.run20()
        self.assertEqual(self.over, [("a", 10), ("b", 13), ("c", 13), ("d", 13.5)])

    def test_oneTimer(self) -> None:
        """However many wait, there is one timer, and none when nobody waits."""
        for number in range(100):
            self.deadlines.start(str(number))
            self.clock.advance(0.01)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for number in range(100):
            self.deadlines.stop(str(number))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noTimerWhenOver(self) -> None:
        """The last item that runs out of time leaves no timer."""
        self.deadlines.start("a")
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_startAgain(self) -> None:
        """An item that starts again has its whole time again, and stands behind the others."""
        self.deadlines.start("a")
        self.clock.advance(4)
        self.deadlines.start("b")
        self.clock.advance(4)
        self.deadlines.start("a")
        self.run20()
        self.assertEqual(self.over, [("b", 14), ("a", 18)])

    def test_stop(self) -> None:
        """An item that stopped never runs out; the others do, when they are due."""
        for item in "abc":
            self.deadlines.start(item)
            self.clock.advance(1)
        self.deadlines.stop("a")
        self.deadlines.stop("a")
        self.deadlines.stop("unknown")
        self.run20()
        self.assertEqual(self.over, [("b", 11), ("c", 12)])

    def test_usedAgain(self) -> None:
        """Waits go on after everything had stopped."""
        self.deadlines.start("a")
        self.deadlines.stop("a")
        self.clock.advance(5)
        self.deadlines.start("b")
        self.run20()
        self.assertEqual(self.over, [("b", 15)])

    def test_forEver(self) -> None:
        """Zero seconds are for ever: no item waits, and there is no timer."""
        deadlines: Deadlines[str] = Deadlines(self.clock, 0, self.expired)
        deadlines.start("a")
        self.assertEqual((len(deadlines), self.clock.getDelayedCalls()), (0, []))
        deadlines.stop("a")
        self.run20()
        self.assertEqual(self.over, [])


class ReentranceTests(SynchronousTestCase):
    """What C{expired} does to the waits while it is told of one."""

    def setUp(self) -> None:
        """Make waits whose C{expired} does what the test says."""
        self.clock = Clock()
        self.over: list[tuple[str, float]] = []

    def test_startsItself(self) -> None:
        """An item that begins anew when its time is over has ten seconds more."""

        def expired(item: str) -> None:
            self.over.append((item, self.clock.seconds()))
            if len(self.over) < 3:
                deadlines.start(item)

        deadlines: Deadlines[str] = Deadlines(self.clock, 10, expired)
        deadlines.start("a")
        self.clock.pump([1] * 40)
        self.assertEqual(self.over, [("a", 10), ("a", 20), ("a", 30)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_startsAnother(self) -> None:
        """An item that begins then does not put off those that were waiting."""

        def expired(item: str) -> None:
            self.over.append((item, self.clock.seconds()))
            if item == "a":
                deadlines.start("late")

        deadlines: Deadlines[str] = Deadlines(self.clock, 10, expired)
        deadlines.start("a")
        self.clock.advance(1)
        deadlines.start("b")
        self.clock.pump([1] * 30)
        self.assertEqual(self.over, [("a", 10), ("b", 11), ("late", 20)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopsAnother(self) -> None:
        """An item that is stopped then is not told of, though it was due in the same moment."""

        def expired(item: str) -> None:
            self.over.append((item, self.clock.seconds()))
            deadlines.stop("b")

        deadlines: Deadlines[str] = Deadlines(self.clock, 10, expired)
        for item in "abc":
            deadlines.start(item)
        self.clock.pump([1] * 30)
        self.assertEqual(self.over, [("a", 10), ("c", 10)])
