"""L{msgserver.handlers.pool}: agents that are made in advance."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from msgserver.handlers.pool import Pool
from msgserver.interfaces import IMsgGate, User
from tests.agents import Player, Table

ALICE = User(b"alice", b"1", b"sample")
GATE = cast(IMsgGate, object())


class PoolTests(SynchronousTestCase):
    """L{Pool} by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.table = Table()
        self.counts = {"agents_made": 0, "makes_failed": 0}

    def count(self, event: str) -> None:
        """Count an event."""
        self.counts[event] += 1

    def makePool(self, size: int) -> Pool:
        """Make a pool that fills."""
        pool = Pool(self.table.make, size, self.clock, self.count)
        pool.start(GATE)
        return pool

    def turn(self) -> None:
        """Do what is due now, and not what that puts off: it is another turn's."""
        due: Any = self.clock.getDelayedCalls()
        for call in due:
            self.assertEqual(call.getTime(), 0)
            func = call.func
            call.cancel()
            func()

    def test_onePerTurn(self) -> None:
        """A turn of the reactor makes one agent, however many are missing."""
        pool = self.makePool(3)
        for ready in (0, 1, 2, 3, 3):
            self.assertEqual(len(pool), ready)
            self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.counts, {"agents_made": 3, "makes_failed": 0})

    def test_taken(self) -> None:
        """Agents are taken in the order in which they were made, and told whose they are."""
        pool = self.makePool(2)
        self.turn()
        self.turn()
        agent = pool.take(ALICE, GATE)
        self.assertIs(agent, self.table.made[0])
        self.assertIs(agent.user, ALICE)
        self.assertIs(agent.gate, GATE)
        self.assertIs(pool.take(ALICE, GATE), self.table.made[1])
        self.assertEqual(len(self.table.made), 2)
        self.turn()
        self.assertEqual(len(pool), 1)

    def test_empty(self) -> None:
        """Where none is ready one is made on the spot, and the pool fills all the same."""
        pool = self.makePool(1)
        self.assertIs(pool.take(ALICE, GATE), self.table.made[0])
        self.assertEqual(len(pool), 0)
        self.turn()
        self.assertEqual(len(pool), 1)

    def test_noPool(self) -> None:
        """Of size 0 it makes what is asked for, and nothing in advance."""
        pool = self.makePool(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        pool.take(ALICE, GATE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.table.made), 1)

    def test_refillFails(self) -> None:
        """What fails is logged and counted once, and tried again when an agent is taken."""
        self.table.makeErrors = [ZeroDivisionError()]
        pool = self.makePool(1)
        with capturedLogs() as events:
            self.turn()
        self.assertEqual([each["event"] for each in events], ["make_failed"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.counts, {"agents_made": 0, "makes_failed": 1})
        self.assertIsInstance(pool.take(ALICE, GATE), Player)
        self.turn()
        self.assertEqual(len(pool), 1)

    def test_takeFails(self) -> None:
        """Who takes what cannot be made is told why; the pool tries again."""
        self.table.makeErrors = [ZeroDivisionError()]
        pool = self.makePool(1)
        self.assertRaises(ZeroDivisionError, pool.take, ALICE, GATE)
        self.turn()
        self.assertEqual(len(pool), 1)
        self.assertEqual(self.counts, {"agents_made": 1, "makes_failed": 1})

    def test_stop(self) -> None:
        """Once it has stopped it keeps none, and makes none but what is asked for."""
        pool = self.makePool(2)
        self.turn()
        pool.stop()
        self.assertEqual((len(pool), self.clock.getDelayedCalls()), (0, []))
        pool.take(ALICE, GATE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
