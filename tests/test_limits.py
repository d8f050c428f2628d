"""
Tests for L{msgserver.limits}: what strangers may hold (B1), and for how long (H3, L1).
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.limits import ConnectionLimits


class ConnectionLimitsTests(SynchronousTestCase):
    """Three connections at once, ten seconds each to prove itself."""

    def setUp(self) -> None:
        """Make the limits, and note whose time ran out."""
        self.clock = Clock()
        self.over: list[str] = []
        self.limits: ConnectionLimits[str] = ConnectionLimits(
            self.clock, 3, 10, self.over.append
        )

    def open(self, names: str) -> list[bool]:
        """Open a connection for each letter."""
        return [self.limits.opened(name) for name in names]

    def test_exactly(self) -> None:
        """B1: exactly C{maxclient} are taken in; each one more is refused and counted."""
        self.assertEqual(self.open("abcde"), [True, True, True, False, False])
        self.assertEqual((len(self.limits), self.limits.hits["maxclient"]), (3, 2))

    def test_none(self) -> None:
        """B1: where none are allowed, none are."""
        limits: ConnectionLimits[str] = ConnectionLimits(self.clock, 0, 10, self.over.append)
        self.assertFalse(limits.opened("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_placeAgain(self) -> None:
        """B1: a connection that closes makes room for one."""
        self.open("abcd")
        self.limits.closed("b")
        self.assertEqual(self.open("ef"), [True, False])

    def test_refusedClose(self) -> None:
        """B1: a refused connection's close makes room for nobody."""
        self.open("abcd")
        self.limits.closed("d")
        self.assertEqual((self.open("e"), len(self.limits)), ([False], 3))

    def test_closedTwice(self) -> None:
        """B1: a connection that closes twice makes room for one."""
        self.open("abc")
        self.limits.closed("a")
        self.limits.closed("a")
        self.assertEqual(self.open("de"), [True, False])

    def test_expired(self) -> None:
        """L1, H3: a connection that proves nothing is told of when its time is over, once."""
        self.open("a")
        self.clock.advance(5)
        self.open("b")
        self.clock.advance(4.9)
        self.assertEqual(self.over, [])
        self.clock.advance(0.1)
        self.assertEqual(self.over, ["a"])
        self.clock.pump([1] * 20)
        self.assertEqual(self.over, ["a", "b"])

    def test_expiredHoldsItsPlace(self) -> None:
        """B1: a connection whose time is over counts until it is closed."""
        self.open("abc")
        self.clock.advance(10)
        self.assertEqual(self.open("d"), [False])
        self.limits.closed("a")
        self.assertEqual(self.open("e"), [True])

    def test_proved(self) -> None:
        """H3: a connection that has proved itself has time, and counts."""
        self.open("abc")
        self.limits.proved("b")
        self.clock.advance(100)
        self.assertEqual((self.over, len(self.limits)), (["a", "c"], 3))

    def test_nothingLeft(self) -> None:
        """Closed connections leave neither a timer nor a count; refused ones never had them."""
        self.open("abcd")
        for name in "abcd":
            self.limits.closed(name)
        self.assertEqual((len(self.limits), self.clock.getDelayedCalls()), (0, []))
        self.clock.advance(100)
        self.assertEqual(self.over, [])

    def test_refusedHasNoTimer(self) -> None:
        """A refused connection is never told of: it is closed already."""
        self.open("abcd")
        self.clock.advance(100)
        self.assertEqual(self.over, ["a", "b", "c"])
