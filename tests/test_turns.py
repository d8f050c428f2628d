"""
Tests for L{msgserver.turns}: few at a time, and who is preferred before the others.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from msgserver.turns import Turns


class TurnsTests(SynchronousTestCase):
    """Two at a time."""

    def setUp(self) -> None:
        """Make them, and take both."""
        self.turns = Turns(2)
        self.begun: list[str] = []
        for name in ("a", "b"):
            self.begin(name)
        self.assertEqual(self.begun, ["a", "b"])

    def begin(self, name: str, isPreferred: bool = False) -> Deferred[None]:
        """Ask for a turn, and note when it comes."""
        turn = self.turns.begin(isPreferred)
        return turn.addCallback(lambda _: self.begun.append(name))

    def test_inOrder(self) -> None:
        """Whoever has waited for longest is next."""
        for name in ("c", "d"):
            self.begin(name)
        self.assertEqual(len(self.turns), 2)
        self.turns.end()
        self.assertEqual(self.begun[2:], ["c"])
        self.turns.end()
        self.assertEqual((self.begun[2:], len(self.turns)), (["c", "d"], 0))

    def test_preferred(self) -> None:
        """Who is preferred comes before all who are not, and not before each other."""
        self.begin("c")
        self.begin("d", True)
        self.begin("e", True)
        for _ in range(3):
            self.turns.end()
        self.assertEqual(self.begun[2:], ["d", "e", "c"])

    def test_free(self) -> None:
        """A turn that nobody waits for is the next one's at once, and there are no more of them."""
        self.turns.end()
        self.begin("c")
        self.begin("d")
        self.assertEqual(self.begun[2:], ["c"])

    def test_cancelled(self) -> None:
        """Who has given up gets no turn, and holds up nobody."""
        first, second = self.begin("c"), self.begin("d", True)
        for turn in (second, first):
            turn.cancel()
            self.failureResultOf(turn, CancelledError)
        self.begin("e")
        self.turns.end()
        self.assertEqual((self.begun[2:], len(self.turns)), (["e"], 0))
