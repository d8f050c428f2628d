"""However many wait, and whatever they do when their time is up, there is one timer (H3, B3)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.deadlines import Deadlines


class TimerTests(SynchronousTestCase):
    """Items of ten seconds each; whoever expires has another item started."""

    def setUp(self) -> None:
        """Make the waits."""
        self.clock = Clock()
        self.over: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10, self.expired)

    def expired(self, item: str) -> None:
        """Note it; the first one starts a third."""
        self.over.append((item, self.clock.seconds()))
        if item == "first":
            self.deadlines.start("third")

    def test_oneTimer(self) -> None:
        """The timer that a new item has set gives way to that of an older one, and ends there."""
        self.deadlines.start("first")
        self.clock.advance(5)
        self.deadlines.start("second")
        self.clock.advance(5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.deadlines.stop("second")
        self.deadlines.stop("third")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_eachItsTime(self) -> None:
        """Both have their ten seconds all the same."""
        self.deadlines.start("first")
        self.clock.advance(5)
        self.deadlines.start("second")
        self.clock.pump([5.0] * 4)
        self.assertEqual(self.over, [("first", 10), ("second", 15), ("third", 20)])
