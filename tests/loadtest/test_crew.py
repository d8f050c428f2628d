"""
Tests for L{msgserver.loadtest.crew}: when users come, whose connection is cut, and when it ends.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import fail

from msgserver.errors import Unauthorized
from msgserver.loadtest.crew import Crew, Pacer
from msgserver.loadtest.effort import EffortMeter
from msgserver.loadtest.results import latencyOf
from tests.loadtest.gates import LoadTestCase


class CrewTests(LoadTestCase):
    """Some users and a gate that echoes."""

    def test_all(self) -> None:
        """Everything that is asked is answered and verified, and nobody is left."""
        crew = self.crew(users=3, ramp=1.0, duration=2.0, think=(0.1, 0.2))
        self.successResultOf(self.run_(crew))
        counts = self.results.counts
        self.assertGreater(counts["asked"], 20)
        self.assertEqual(counts["asked"], counts["right"])
        self.assertEqual((counts["logins"], counts["came"]), (3, 3))
        self.assertEqual(self.results.examples, [])
        self.assertTrue(2.0 <= self.results.seconds <= 2.1)
        self.assertEqual(self.recorder.connected, 3)
        self.assertEqual(len(self.results.efforts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ramp(self) -> None:
        """After half of the ramp, half of the users are there."""
        crew = self.crew(users=10, ramp=10.0, duration=1.0, think=(1.0, 1.0))
        done = self.run_(crew, 4.9)
        self.assertEqual(len(self.logins), 5)
        self.assertEqual(self.logins, [1, 2, 3, 4, 5])
        for _ in range(200):
            self.clock.advance(0.1)
        self.successResultOf(done)

    def test_measured(self) -> None:
        """What is asked during the ramp is verified, and its latency is not measured."""
        crew = self.crew(users=1, ramp=5.0, duration=1.0, think=(0.5, 0.5))
        self.successResultOf(self.run_(crew))
        measured = self.results.latencies["all"].count
        self.assertGreater(measured, 0)
        self.assertGreater(self.results.counts["right"], 3 * measured)

    def test_prepare(self) -> None:
        """What is to be done before measuring is done when all users have come, once."""
        came: list[int] = []
        around = self.surroundings(users=3, ramp=2.0, duration=1.0, think=(0.1, 0.1))
        meter = EffortMeter(self.clock, self.clock.seconds, lambda: 0.0, lambda: None)
        crew = Crew(around, meter, Random(3), lambda: came.append(self.results.counts["came"]))
        self.successResultOf(self.run_(crew))
        self.assertEqual(came, [3])

    def test_cuts(self) -> None:
        """The share of the connections that was asked for is cut each second."""
        crew = self.crew(users=20, ramp=0.0, duration=10.0, think=(0.2, 0.2), cuts=0.1)
        self.successResultOf(self.run_(crew))
        counts = self.results.counts
        # Of 20 connections, some of which are away for a second after each cut.
        self.assertTrue(16 <= counts["cuts"] <= 20, counts["cuts"])
        self.assertEqual(counts["back"], counts["cuts"])
        self.assertEqual((counts["lost"], counts["away"]), (0, 0))
        self.assertEqual(counts["asked"], counts["right"])

    def test_seed(self) -> None:
        """The same seeds make the same load: who is cut, and when."""
        told = []
        for _ in range(2):
            self.setUp()
            crew = self.crew(users=5, ramp=1.0, duration=5.0, think=(0.1, 0.4), cuts=0.2)
            self.successResultOf(self.run_(crew))
            told.append(([end.asked for end in self.gate.ends], self.results.counts))
        self.assertEqual(*told)

    def test_missing(self) -> None:
        """Answers that do not come are waited for as long as the grace, and then missing."""
        self.gate.answer = lambda content: []
        crew = self.crew(users=2, ramp=0.0, duration=1.0, grace=3.0)
        done = self.run_(crew, 3.9)
        self.assertNoResult(done)
        for _ in range(20):
            self.clock.advance(0.05)
        self.successResultOf(done)
        self.assertEqual(self.results.counts["missing"], 2)

    def test_lateDouble(self) -> None:
        """A second answer that comes after all the first ones is still waited for."""
        crew = self.crew(users=1, ramp=0.0, duration=1.0, think=(5.0, 5.0))

        def twice(content: bytes) -> list[bytes | None]:
            end = self.gate.ends[0]
            again = b"%b\x01\x00\x00\x00\x01" % content
            framed = len(again).to_bytes(2, "big") + again
            self.clock.callLater(1.1, end.say, framed)
            return [content]

        self.gate.answer = twice
        self.successResultOf(self.run_(crew))
        self.assertEqual(self.results.counts["doubled"], 1)

    def test_backAtTheEnd(self) -> None:
        """Users who are away when it ends have the grace to come back."""
        crew = self.crew(users=5, ramp=0.0, duration=2.0, think=(0.1, 0.1), cuts=1.0)
        self.successResultOf(self.run_(crew))
        self.assertEqual(self.results.counts["away"], 0)
        self.assertGreater(self.results.counts["back"], 0)

    def test_stop(self) -> None:
        """It can be ended early; answers that are under way are waited for."""
        crew = self.crew(users=2, ramp=0.0, duration=100.0, think=(0.1, 0.1))
        done = self.run_(crew, 2.0)
        crew.stop()
        for _ in range(20):
            self.clock.advance(0.05)
        self.successResultOf(done)
        self.assertEqual(self.results.counts["missing"], 0)
        self.assertTrue(2.0 <= self.results.seconds <= 2.1)

    def test_stopTwice(self) -> None:
        """Told a second time, it waits no more."""
        self.gate.answer = lambda content: []
        crew = self.crew(users=2, ramp=0.0, duration=100.0, grace=50.0)
        done = self.run_(crew, 1.0)
        crew.stop()
        self.clock.pump([0.05] * 20)
        self.assertNoResult(done)
        crew.stop()
        self.clock.pump([0.05] * 20)
        self.successResultOf(done)
        self.assertEqual(self.results.counts["missing"], 2)

    def test_stopTwiceAtOnce(self) -> None:
        """So it does where it has not yet seen that it was told the first time."""
        self.gate.answer = lambda content: []
        crew = self.crew(users=2, ramp=0.0, duration=100.0, grace=50.0)
        done = self.run_(crew, 1.0)
        crew.stop()
        crew.stop()
        self.clock.pump([0.05] * 20)
        self.successResultOf(done)

    def test_start(self) -> None:
        """
        Time runs from the beginning of the users, and not of the process: those of several are
        put together.
        """
        crew = self.crew(users=2, ramp=0.0, duration=1.0, think=(0.1, 0.1))
        self.clock.advance(5.0)
        self.successResultOf(self.run_(crew))
        self.assertGreater(self.results.moments[0].answers, 0)
        self.assertLess(self.results.lastLogin, 1.0)

    def test_stopInRamp(self) -> None:
        """Ended during the ramp, nothing is measured, and who never began is not missed."""
        crew = self.crew(users=10, ramp=10.0, duration=5.0, think=(0.1, 0.1))
        done = self.run_(crew, 3.0)
        crew.stop()
        self.clock.pump([0.05] * 20)
        self.successResultOf(done)
        self.assertEqual((self.results.seconds, self.results.efforts), (0.0, []))
        self.assertEqual((self.results.counts["came"], self.results.counts["never"]), (4, 0))

    def test_deserted(self) -> None:
        """When the server wants no more of anybody, it ends."""
        self.takeLogin = lambda number: fail(Unauthorized("no"))
        crew = self.crew(users=3, ramp=1.0, duration=1000.0)
        self.successResultOf(self.run_(crew, 5.0))
        self.assertEqual(self.results.counts["ended"], 3)


class OpenLoopTests(LoadTestCase):
    """Requests by a schedule."""

    def test_rate(self) -> None:
        """There are as many as the rate says, divided evenly among the users."""
        crew = self.crew(users=4, ramp=0.0, duration=2.0, rate=50.0)
        self.successResultOf(self.run_(crew, step=0.01))
        self.assertTrue(100 <= self.results.counts["asked"] <= 102)
        self.assertEqual(self.results.counts["asked"], self.results.counts["right"])
        first = [content.partition(b" ")[0] for content in self.gate.asked if b".1 " in content]
        self.assertEqual(sorted(first), [b"user1.1", b"user2.1", b"user3.1", b"user4.1"])

    def test_coordinatedOmission(self) -> None:
        """
        A server that stalls is asked all the same, and each request's latency runs from when
        it was due: a stall of 2 seconds is seen by all that were due meanwhile.
        """
        crew = self.crew(users=2, ramp=0.0, duration=4.0, rate=100.0)
        done = self.run_(crew, 1.0, step=0.01)
        self.gate.delay = 2.0
        self.clock.pump([0.01] * 10)
        self.gate.delay = 0.02
        while not done.called:
            self.clock.advance(0.01)
        self.successResultOf(done)
        latencies = self.results.latencies["all"]
        self.assertGreater(latencies.percentile(99), 1.5)
        self.assertLess(latencies.percentile(50), 0.1)

    def test_lateTester(self) -> None:
        """Where the tester is late, that is counted with the latency, and told by itself."""
        crew = self.crew(users=1, ramp=0.0, duration=2.0, rate=10.0)
        done = self.run_(crew, 1.0, step=0.01)
        # For half a second, the tester does nothing.
        self.clock.rightNow += 0.5
        while not done.called:
            self.clock.advance(0.01)
        self.successResultOf(done)
        self.assertGreater(self.results.latencies["late"].max, 0.35)
        self.assertGreater(self.results.latencies["all"].max, 0.35)
        self.assertTrue(20 <= self.results.counts["asked"] <= 21)

    def test_tooMuch(self) -> None:
        """
        A schedule that no tester keeps does not keep it from hearing answers and from ending in
        time, and what was not asked is counted.
        """
        crew = self.crew(users=2, ramp=0.0, duration=0.1, rate=1e6, grace=0.1)
        self.successResultOf(self.run_(crew, step=0.01))
        counts = self.results.counts
        self.assertGreater(counts["unsent"], 90_000)
        self.assertEqual(counts["unsent"] + counts["asked"], 100_000)

    def test_moments(self) -> None:
        """What happened when is kept by intervals."""
        crew = self.crew(users=2, ramp=0.0, duration=3.0, rate=10.0)
        self.successResultOf(self.run_(crew, step=0.01))
        moments = self.results.moments
        self.assertEqual([moment.connected for moment in moments[:3]], [2, 2, 2])
        self.assertEqual(sum(moment.answers for moment in moments), 31)
        self.assertTrue(9 <= moments[1].answers <= 11)
        (level,) = moments[1].levels
        self.assertTrue(latencyOf(level) <= 0.04)


class PacerTests(LoadTestCase):
    """The schedule itself."""

    def test_due(self) -> None:
        """Each request is given once, with the time it was due."""
        pacer = Pacer(4.0, 10.0)
        self.assertEqual(pacer.due(9.9, 9), [])
        self.assertEqual(pacer.due(10.3, 9), [(0, 10.0), (1, 10.25)])
        self.assertEqual(pacer.due(10.3, 9), [])
        self.assertEqual(pacer.due(10.5, 9), [(2, 10.5)])

    def test_burst(self) -> None:
        """Of many that are due, some are given at a time, and none is left out."""
        pacer = Pacer(100.0, 10.0)
        self.assertEqual([number for number, _ in pacer.due(11.0, 60)], [*range(60)])
        self.assertEqual(pacer.behind(11.0), 40)
        self.assertEqual([number for number, _ in pacer.due(11.0, 60)], [*range(60, 101)])
        self.assertEqual(pacer.behind(11.0), 0)

    def test_closedLoop(self) -> None:
        """Without a rate there is none."""
        self.assertEqual(Pacer(0.0, 10.0).due(99.0, 9), [])
