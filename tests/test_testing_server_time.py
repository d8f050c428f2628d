"""
Tests for L{msgserver.testing.MemoryServer}: what happens when, and its end.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import ClientClosed, RequestTimedOut
from msgserver.testing import MemoryServer, passing
from tests.servers import ServerCase, Teller


class TimeTests(ServerCase):
    """What happens when."""

    def test_settle(self) -> None:
        """Without time, what needs none happens, and nothing else."""
        now, late = self.alice.request(b""), self.alice.request(b"later 1")
        self.assertNoResult(now)
        self.server.settle()
        self.assertEqual(self.successResultOf(now), b"1")
        self.assertNoResult(late)
        self.assertEqual(self.clock.seconds(), 0.0)

    def test_advance(self) -> None:
        """Time passes as far as it is told to."""
        late = self.alice.request(b"later 2.5")
        self.server.advance(2.4)
        self.assertNoResult(late)
        self.server.advance(0.2)
        self.assertEqual(self.successResultOf(late), b"late")

    def test_moments(self) -> None:
        """Each timer sees its own moment, and what it causes happens then."""
        moments: list[float] = []
        for seconds in (0.1, 0.2, 0.3):
            asked = self.alice.request(b"later %.1f" % seconds)
            asked.addCallback(lambda _: moments.append(self.clock.seconds()))
        self.server.advance(10)
        self.assertEqual(moments, [0.1, 0.2, 0.3])
        self.assertEqual(self.clock.seconds(), 10.0)

    def test_resultTakesTime(self) -> None:
        """A result is waited for, for as long as it takes and no longer."""
        self.assertEqual(self.server.result(self.alice.request(b"later 2.5")), b"late")
        self.assertEqual(self.clock.seconds(), 2.5)

    def test_coroutines(self) -> None:
        """Handlers may be coroutines, and so may what one waits for."""

        async def ask() -> list[bytes]:
            first = await self.alice.request(b"awaited 1")
            return [first, await self.alice.request(b"")]

        self.assertEqual(self.server.result(ask()), [b"late, awaited", b"2"])

    def test_withinACallback(self) -> None:
        """What is called when something happens may itself let time pass, and have clients."""

        async def ask() -> tuple[list[bytes], float]:
            answers = [await self.alice.request(b"")]
            bob = self.server.client(b"bob")
            late = bob.request(b"later 5")
            self.server.advance(7)
            self.server.cut(bob)
            self.server.settle()
            answers += [await late, self.server.result(bob.request(b""))]
            return answers, self.clock.seconds()

        begun = self.alice.request(b"later 1").addCallback(lambda _: Deferred.fromCoroutine(ask()))
        self.server.advance(3)
        self.assertEqual(self.server.result(begun), ([b"2", b"late", b"4"], 8.0))
        self.assertEqual(self.clock.seconds(), 8.0)

    def test_noResult(self) -> None:
        """What does not come is told, when it has not; and may be waited for again."""
        late = self.alice.request(b"later 700")
        error = self.assertRaises(AssertionError, self.server.result, late)
        self.assertEqual(str(error), "no result within 600 seconds of the clock")
        self.assertRaises(AssertionError, self.server.result, Deferred(), patience=1)
        self.assertEqual(self.server.result(late), b"late")

    def test_failureLater(self) -> None:
        """A failure that comes when nobody waits is there for whoever waits next."""
        late = self.alice.request(b"later 60", timeout=30)
        self.assertRaises(AssertionError, self.server.result, late, patience=1)
        self.server.advance(60)
        self.assertRaises(RequestTimedOut, self.server.result, late)

    def test_resultAgain(self) -> None:
        """A result is still there when it has been given."""
        answer = self.alice.request(b"")
        self.assertEqual([self.server.result(answer) for _ in range(2)], [b"1", b"1"])

    def test_neverSettles(self) -> None:
        """What goes on for ever in one moment is told, and does not hang."""

        def again() -> None:
            self.calls += 1
            self.call = self.clock.callLater(0, again)

        self.calls = 0
        self.patch(passing, "MOST_TURNS", 100)
        again()
        error = self.assertRaises(AssertionError, self.server.settle)
        self.assertIn("after 100 turns there is still something to do", str(error))
        self.call.cancel()


class StopTests(SynchronousTestCase):
    """The end of a server."""

    def test_nothingLeft(self) -> None:
        """It ends all logins and all clients, and no timer is left."""
        handler = Teller()
        with MemoryServer(handler) as server:
            alice, bob, carol = map(server.client, (b"alice", b"bob", b"carol"))
            server.cut(bob)
            server.offline(carol)
        ended = [uid for what, uid in handler.happened if what == "loggedOut"]
        self.assertEqual(sorted(ended), [b"alice", b"bob", b"carol"])
        self.assertEqual(server.clock.getDelayedCalls(), [])
        self.assertRaises(ClientClosed, server.result, alice.request(b""))

    def test_finishes(self) -> None:
        """A request that runs is answered before the end (B5)."""
        clock = Clock()
        with MemoryServer(Teller(clock), clock=clock) as server:
            late = server.client(b"alice").request(b"later 5")
            server.settle()
        self.assertEqual(self.successResultOf(late), b"late")

    def test_twice(self) -> None:
        """A second time, nothing happens."""
        handler = Teller()
        server = MemoryServer(handler)
        server.client(b"alice")
        server.stop()
        server.stop()
        self.assertEqual(len(handler.happened), 2)

    def test_noClient(self) -> None:
        """A server that nobody used ends, too; later clients find nobody there."""
        server = MemoryServer(Teller())
        server.stop()
        client = server.client(b"alice")
        self.assertFalse(client.isConnected)
        server.result(client.close())
        self.assertEqual(server.clock.getDelayedCalls(), [])
