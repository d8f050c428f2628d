"""
Tests for L{msgserver.loadtest.turns}, and for users who take turns.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.clientcore import HANDSHAKE_TIMEOUT
from msgserver.loadtest.surroundings import Surroundings
from msgserver.loadtest.turns import Line, Turn
from msgserver.loadtest.user import LoadUser
from tests.loadtest.gates import TICK, LoadTestCase, MemoryGate


@implementer(IStreamClientEndpoint)
class SlowEndpoint:
    """
    Connects when a test says so.

    @ivar attempts: those that were made.
    @ivar cancelled: how many of them were given up.
    """

    def __init__(self) -> None:
        self.cancelled = 0
        self.attempts: list[Deferred[IProtocol]] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Wait for the test."""
        attempt: Deferred[IProtocol] = Deferred(self._cancel)
        self.attempts.append(attempt)
        return attempt

    def _cancel(self, attempt: Deferred[IProtocol]) -> None:
        self.cancelled += 1


class LineTests(SynchronousTestCase):
    """Places, and who has one next."""

    def setUp(self) -> None:
        self.line = Line(2)
        self.clock = Clock()
        self.dropped: list[int] = []

    def turn(self, number: int) -> Turn:
        """Make one that tells when it is to go."""
        return Turn(self.line, 5.0, self.clock, lambda: self.dropped.append(number))

    def test_order(self) -> None:
        """Who came first has a place first."""
        places = [self.line.take() for _ in range(5)]
        self.assertEqual([place.called for place in places], [True, True, False, False, False])
        self.assertEqual(self.line.waiting, 3)
        self.line.giveBack(self.turn(1))
        self.assertEqual([place.called for place in places], [True, True, True, False, False])
        self.line.giveBack(self.turn(2))
        self.assertEqual([place.called for place in places], [True, True, True, True, False])

    def test_given(self) -> None:
        """A place that nobody waits for is there for the next who comes."""
        first = self.line.take(), self.line.take()
        self.line.giveBack(self.turn(1))
        self.assertTrue(self.line.take().called)
        self.assertFalse(self.line.take().called)
        self.assertTrue(all(place.called for place in first))

    def test_cancelled(self) -> None:
        """Who has given up waiting gets no place, and the next one does."""
        places = [self.line.take() for _ in range(4)]
        places[2].cancel()
        self.failureResultOf(places[2], CancelledError)
        self.assertEqual(self.line.waiting, 1)
        self.line.giveBack(self.turn(1))
        self.assertTrue(places[3].called)

    def test_mayGo(self) -> None:
        """Who may go is told to when somebody waits, and not before; one for each who waits."""
        for number in (1, 2):
            self.line.take()
            self.line.mayGo(self.turn(number))
        self.assertEqual(self.dropped, [])
        self.line.take()
        self.assertEqual(self.dropped, [1])
        self.line.take()
        self.assertEqual(self.dropped, [1, 2])

    def test_onlyAsManyAsWait(self) -> None:
        """Where one waits, one of two goes, and the other stays."""
        for _ in range(3):
            self.line.take()
        for number in (1, 2):
            self.line.mayGo(self.turn(number))
        self.assertEqual(self.dropped, [1])


class TurnTests(SynchronousTestCase):
    """One user's turns, of five seconds, with one place for all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.line = Line(1)
        self.endpoint = SlowEndpoint()
        self.dropped: list[Turn] = []

    def turn(self, seconds: float = 5.0) -> Turn:
        """Make a user's turns; their connections are cut at once."""

        def drop() -> None:
            self.dropped.append(turn)
            turn.away()

        turn = Turn(self.line, seconds, self.clock, drop)
        return turn

    def connect(self, turn: Turn) -> Deferred[IProtocol]:
        """Begin an attempt."""
        return turn.at(self.endpoint).connect(Factory.forProtocol(Protocol))

    def connected(self, turn: Turn) -> None:
        """Have a user connect, whose turn it is."""
        made = self.connect(turn)
        protocol = Protocol()
        self.endpoint.attempts[-1].callback(protocol)
        self.assertIs(self.successResultOf(made), protocol)
        turn.connected()

    def test_waits(self) -> None:
        """Without a place there is no attempt; with one there is."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        waiting = self.connect(other)
        self.assertEqual(len(self.endpoint.attempts), 1)
        self.assertEqual((one.hasPlace, other.hasPlace), (True, False))
        self.clock.advance(5.0)
        self.assertEqual(len(self.endpoint.attempts), 2)
        self.assertEqual((one.hasPlace, other.hasPlace), (False, True))
        self.assertEqual((other.isOn, other.number), (False, 0))
        self.assertNoResult(waiting)
        self.assertEqual(self.dropped, [one])

    def test_nobodyWaits(self) -> None:
        """A turn goes on until somebody waits, however long that is."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        self.clock.advance(50.0)
        self.assertEqual((self.dropped, one.hasPlace), ([], True))
        self.connect(other)
        self.assertEqual((self.dropped, other.hasPlace), ([one], True))

    def test_cut(self) -> None:
        """A connection that is cut does not end the turn: its user comes back to the place."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        self.connect(other)
        self.clock.advance(2.0)
        one.away()
        self.assertTrue(one.hasPlace)
        self.connected(one)
        self.clock.advance(2.9)
        self.assertEqual((one.number, other.hasPlace), (1, False))
        self.clock.advance(0.1)
        self.assertTrue(other.hasPlace)

    def test_overWithout(self) -> None:
        """A turn that ends while there is no connection is over all the same."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        self.connect(other)
        one.away()
        self.clock.advance(5.0)
        self.assertEqual((one.hasPlace, other.hasPlace, self.dropped), (False, True, []))

    def test_overInAttempt(self) -> None:
        """Where an attempt is under way when it ends, there is never one connection too many."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        self.connect(other)
        one.away()
        attempt = self.connect(one)
        self.clock.advance(5.0)
        self.assertEqual((one.hasPlace, other.hasPlace), (True, False))
        self.endpoint.attempts[-1].callback(Protocol())
        self.successResultOf(attempt)
        one.connected()
        self.clock.advance(5.0)
        self.assertEqual((one.hasPlace, other.hasPlace), (False, True))

    def test_refused(self) -> None:
        """Whose attempt fails has no place any more, and the next has it."""
        one, other = self.turn(), self.turn()
        attempt = self.connect(one)
        self.connect(other)
        self.endpoint.attempts[0].errback(ConnectionRefusedError())
        self.failureResultOf(attempt, ConnectionRefusedError)
        self.assertEqual((one.hasPlace, other.hasPlace), (False, True))

    def test_failed(self) -> None:
        """So it is where the gate refuses the handshake, or says nothing; once."""
        one, other, last = self.turn(), self.turn(), self.turn()
        attempt = self.connect(one)
        self.endpoint.attempts[0].callback(Protocol())
        self.successResultOf(attempt)
        self.connect(other)
        self.connect(last)
        one.failed()
        one.failed()
        self.assertEqual((one.hasPlace, other.hasPlace, last.hasPlace), (False, True, False))

    def test_cancelWaiting(self) -> None:
        """Who is cancelled in the line is in it no more."""
        one, other, last = self.turn(), self.turn(), self.turn()
        self.connected(one)
        cancelled = self.connect(other)
        self.connect(last)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.clock.advance(5.0)
        self.assertEqual((other.hasPlace, last.hasPlace), (False, True))
        self.assertEqual(len(self.endpoint.attempts), 2)

    def test_cancelConnecting(self) -> None:
        """Who is cancelled while connecting stops that, and the next has the place."""
        one, other = self.turn(), self.turn()
        cancelled = self.connect(one)
        self.connect(other)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(self.endpoint.cancelled, 1)
        self.assertTrue(other.hasPlace)

    def test_finish(self) -> None:
        """Who has nothing more to do goes as soon as somebody waits, and comes no more."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        one.finish()
        self.assertTrue(one.hasPlace)
        self.connect(other)
        self.assertEqual((one.hasPlace, other.hasPlace), (False, True))
        again = self.connect(one)
        other.failed()
        self.assertEqual((one.hasPlace, len(self.endpoint.attempts)), (False, 2))
        again.cancel()
        self.failureResultOf(again, CancelledError)

    def test_close(self) -> None:
        """When all leave, no place is handed on, and no timer is left."""
        one, other = self.turn(), self.turn()
        self.connected(one)
        waiting = self.connect(other)
        one.close()
        other.close()
        one.away()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(len(self.endpoint.attempts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_endless(self) -> None:
        """A turn without an end has its place from the first to the last."""
        one = self.turn(inf)
        self.assertEqual((one.hasPlace, one.number), (True, 1))
        self.connected(one)
        one.away()
        one.failed()
        one.finish()
        self.assertEqual((one.hasPlace, one.number, one.isLast), (True, 1, False))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CountingGate(MemoryGate):
    """
    A gate that knows how many are connected.

    @ivar most: how many were, at most, at a time.
    """

    most = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Count, and connect."""
        made = super().connect(protocolFactory)
        self.most = max(self.most, sum(not end.isLost for end in self.ends))
        return made


class CrewTests(LoadTestCase):
    """Users who take turns, and a gate that echoes. Who has lost a connection waits a second."""

    def setUp(self) -> None:
        super().setUp()
        self.gate = self.counting = CountingGate(self.clock)

    def taken(self) -> list[bytes]:
        """Give whose connections there were, one after another, by their first requests."""
        return [end.asked[0][1].partition(b".")[0] for end in self.gate.ends if end.asked]

    def test_all(self) -> None:
        """No more are connected than there are places; all of them, again and again."""
        crew = self.crew(users=6, connections=2, turn=0.5, ramp=1.0, duration=10.0)
        self.successResultOf(self.run_(crew))
        counts = self.results.counts
        self.assertEqual(self.counting.most, 2)
        self.assertEqual((counts["logins"], counts["came"]), (6, 6))
        self.assertGreater(counts["right"], 200)
        self.assertEqual(counts["asked"], counts["right"])
        self.assertEqual(self.results.examples, [])
        self.assertEqual((counts["cuts"], counts["lost"], counts["away"]), (0, 0, 0))
        self.assertEqual({moment.connected for moment in self.results.moments[1:11]}, {2})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fair(self) -> None:
        """Who comes first is connected first, and all have as many turns."""
        crew = self.crew(
            users=5, connections=2, turn=1.0, ramp=0.0, duration=30.0, think=(0.1, 0.1)
        )
        self.successResultOf(self.run_(crew))
        taken = self.taken()
        self.assertEqual(taken[:5], [b"user1", b"user2", b"user3", b"user4", b"user5"])
        turns = Counter(taken).values()
        self.assertGreater(min(turns), 5)
        self.assertLessEqual(max(turns) - min(turns), 1)

    def test_kinds(self) -> None:
        """S6: what is under way when a turn ends is answered in the next, and told by itself."""
        crew = self.crew(users=3, connections=1, turn=1.0, ramp=0.0, duration=12.0)
        self.successResultOf(self.run_(crew))
        latencies, counts = self.results.latencies, self.results.counts
        self.assertGreater(latencies["turn"].count, 5)
        self.assertGreater(latencies["turn"].percentile(1), 1.0)
        self.assertEqual((latencies["cut"].count, latencies["back"].count), (0, 0))
        self.assertEqual(
            latencies["all"].count, latencies["steady"].count + latencies["turn"].count
        )
        self.assertGreater(latencies["pause"].count, 5)
        self.assertEqual(counts["turns"], sum(moment.turns for moment in self.results.moments))
        self.assertEqual(counts["asked"], counts["right"])

    def test_cuts(self) -> None:
        """A user who is cut comes back in the same turn; if it is over by then, in the next."""
        crew = self.crew(
            users=9, connections=3, turn=3.0, ramp=0.0, duration=30.0, think=(0.1, 0.1), cuts=0.3
        )
        self.successResultOf(self.run_(crew))
        counts, latencies = self.results.counts, self.results.latencies
        self.assertEqual(self.counting.most, 3)
        self.assertGreater(counts["cuts"], 10)
        self.assertEqual((counts["back"], counts["lost"]), (counts["cuts"], 0))
        self.assertTrue(0 < latencies["back"].count < counts["cuts"])
        self.assertLess(latencies["back"].max, 1.5)
        self.assertEqual((counts["asked"], counts["away"]), (counts["right"], 0))

    def test_lastTurns(self) -> None:
        """Who was never connected while it was measured is, in the end; nobody is left out."""
        crew = self.crew(users=20, connections=2, turn=60.0, ramp=0.0, duration=1.0)
        self.successResultOf(self.run_(crew))
        counts = self.results.counts
        self.assertEqual((counts["never"], counts["away"], counts["missing"]), (0, 0, 0))
        self.assertEqual(len(self.gate.ends), 20)
        self.assertEqual(self.counting.most, 2)

    def test_stop(self) -> None:
        """Ended early, all the same."""
        crew = self.crew(users=6, connections=2, turn=1.0, ramp=0.0, duration=100.0)
        done = self.run_(crew, 5.0)
        crew.stop()
        for _ in range(200):
            self.clock.advance(0.05)
        self.successResultOf(done)
        counts = self.results.counts
        self.assertEqual((counts["asked"], counts["missing"]), (counts["right"], 0))
        self.assertEqual((counts["never"], counts["away"]), (0, 0))

    def test_silent(self) -> None:
        """Where no answers come, turns end all the same, and what is missing is told."""
        self.gate.answer = lambda content: []
        crew = self.crew(users=4, connections=2, turn=1.0, ramp=0.0, duration=5.0, grace=5.0)
        self.successResultOf(self.run_(crew))
        self.assertEqual(self.results.counts["missing"], 4)
        self.assertEqual(set(self.taken()), {b"user1", b"user2", b"user3", b"user4"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shortGrace(self) -> None:
        """Who has no last turn within the grace is not back, and that is a trouble."""
        crew = self.crew(users=4, connections=1, turn=1.0, ramp=0.0, duration=5.0, grace=0.0)
        self.successResultOf(self.run_(crew))
        self.assertGreater(self.results.counts["away"], 0)

    def test_openLoop(self) -> None:
        """In an open loop requests wait for their user's turn, and all are answered."""
        crew = self.crew(users=6, connections=2, turn=0.5, ramp=0.0, duration=6.0, rate=60.0)
        self.successResultOf(self.run_(crew, step=0.01))
        counts, latencies = self.results.counts, self.results.latencies
        self.assertTrue(360 <= counts["asked"] <= 362)
        self.assertEqual(counts["asked"], counts["right"])
        self.assertGreater(latencies["turn"].count, latencies["steady"].count)
        self.assertEqual(latencies["cut"].count, 0)

    def test_seldom(self) -> None:
        """With a place less than users, no place is empty while somebody could have it."""
        crew = self.crew(
            users=5, connections=4, turn=0.5, ramp=0.0, duration=10.0, think=(0.1, 0.1)
        )
        self.successResultOf(self.run_(crew))
        self.assertEqual({moment.connected for moment in self.results.moments[1:10]}, {4})
        self.assertEqual(self.results.counts["asked"], self.results.counts["right"])


class UserTests(LoadTestCase):
    """Two users and one connection, for five seconds each."""

    def pair(self, turn: float = 5.0, **options: object) -> tuple[LoadUser, LoadUser]:
        """Have both begin: the first is connected."""
        self.recorder.beginMeasuring()
        around: Surroundings = self.surroundings(users=2, connections=1, turn=turn, **options)
        one, other = LoadUser(1, around), LoadUser(2, around)
        one.begin()
        other.begin()
        self.turns()
        return one, other

    def leave(self, *users: LoadUser) -> None:
        """Have them leave at one time, and see that nothing is left of them."""
        closed = [user.close() for user in users]
        self.turns()
        for each in closed:
            self.successResultOf(each)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """Who waits for a place is timed by nobody: no attempt has failed after a long while."""
        turn = 4 * HANDSHAKE_TIMEOUT
        one, other = self.pair(think=(99.0, 99.0), turn=turn)
        self.clock.pump([0.5] * int(turn))
        self.assertEqual((one.isConnected, other.isConnected), (True, False))
        self.clock.pump([0.5] * int(turn + 2))
        self.assertEqual(self.results.reasons, {})
        self.assertEqual((one.isConnected, other.isConnected), (False, True))
        self.leave(one, other)

    def test_silentHandshake(self) -> None:
        """A gate that is silent keeps a place for as long as a handshake may take, no longer."""
        self.gate.delay = 1e6
        one, other = self.pair()
        self.assertEqual(len(self.gate.ends), 1)
        self.gate.delay = TICK
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.turns()
        self.assertEqual(self.results.reasons, {"TimeoutError": 1})
        self.assertEqual((one.isConnected, other.isConnected), (False, True))
        for call in self.clock.getDelayedCalls():
            if call.getTime() > 1e5:
                call.cancel()
        self.leave(one, other)

    def test_refusedLogin(self) -> None:
        """Who cannot log in has no place."""
        known = self.takeLogin
        self.takeLogin = lambda number: (
            fail(ConnectionRefusedError()) if number == 1 else known(number)
        )
        one, other = self.pair(think=(9.0, 9.0))
        self.assertEqual((one.isConnected, other.isConnected), (False, True))
        self.leave(one, other)

    def test_asksNothing(self) -> None:
        """Who is away asks nothing, and as soon as there is a turn what was thought of then."""
        one, other = self.pair(think=(7.0, 7.0))
        self.clock.pump([0.05] * 102)
        self.turns()
        self.assertEqual((one.isConnected, other.isConnected), (False, True))
        self.clock.pump([0.5] * 5)
        self.assertEqual((one.pending, self.results.counts["asked"]), (0, 2))
        self.clock.pump([0.05] * 60)
        self.turns()
        self.assertTrue(one.isConnected)
        asked = [content.partition(b" ")[0] for content in self.gate.asked]
        self.assertEqual(asked, [b"user1.1", b"user2.1", b"user1.2"])
        self.assertEqual(self.results.latencies["turn"].count, 0)
        self.leave(one, other)

    def test_cutNotTwice(self) -> None:
        """A connection that is given up is not cut besides."""
        one, other = self.pair(think=(9.0, 9.0))
        # As the turn ends, and before the connection is lost.
        self.clock.rightNow += 5.0
        end = self.gate.ends[0]
        end.abortConnection = lambda: None  # type: ignore[method-assign]
        self.clock.advance(0)
        one.cut()
        self.assertEqual(self.results.counts["cuts"], 0)
        end.lose()
        self.assertEqual(self.results.counts["turns"], 1)
        self.turns()
        self.leave(one, other)
