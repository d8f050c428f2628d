"""The proxy: what it does not break passes whole, and what it breaks, breaks as it says."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import cast

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from msgserver.testing import MemoryTransport
from tests.chaos.faults import (
    CALM,
    Cut,
    CutHow,
    Direction,
    Faults,
    Overtaking,
    Plan,
    Stall,
    Trigger,
)
from tests.chaos.pipes import MOST_HELD, IStream, Pipe
from tests.chaos.proxy import Link

UP, DOWN = Direction.UP, Direction.DOWN
RESET_ALL = Cut(CutHow.RESET, UP, 0.0)


class PipeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sink = MemoryTransport()

    def pipe(self, delay: float = 0.0, isDripping: bool = False) -> Pipe:
        pipe = Pipe(self.clock, delay, isDripping)
        pipe.source = cast(IStream, MemoryTransport())
        pipe.connect(cast(IStream, self.sink))
        verifyObject(IPushProducer, pipe)
        return pipe

    def test_passes(self) -> None:
        """Bytes pass at once, and what came before there was a sink passes first."""
        pipe = Pipe(self.clock)
        pipe.feed(b"before ")
        pipe.connect(cast(IStream, self.sink))
        pipe.feed(b"after")
        self.assertEqual(self.sink.take(), b"before after")

    def test_delays(self) -> None:
        """Each piece passes when its time has come, in order."""
        pipe = self.pipe(delay=1.0)
        pipe.feed(b"one")
        self.clock.advance(0.5)
        pipe.feed(b"two")
        self.assertEqual(self.sink.take(), b"")
        self.clock.advance(0.5)
        self.assertEqual(self.sink.take(), b"one")
        self.clock.advance(0.5)
        self.assertEqual(self.sink.take(), b"two")

    def test_drips(self) -> None:
        """One byte passes in each turn of the reactor, and nothing is missing in the end."""
        pipe = self.pipe(isDripping=True)
        pipe.feed(bytes(range(60)))
        seen = [self.sink.take()]
        while self.clock.getDelayedCalls():
            self.clock.advance(0.001)
            seen.append(self.sink.take())
        self.assertEqual(seen[:10], [bytes((byte,)) for byte in range(10)])
        self.assertEqual(b"".join(seen), bytes(range(60)))

    def test_stalls(self) -> None:
        """Nothing passes for a while, and then all of it."""
        pipe = self.pipe()
        pipe.stall(2.0)
        pipe.feed(b"one")
        self.clock.advance(1.9)
        self.assertEqual(self.sink.take(), b"")
        self.clock.advance(0.1)
        self.assertEqual(self.sink.take(), b"one")

    def test_closes(self) -> None:
        """Closing waits for what was taken in."""
        pipe = self.pipe(delay=1.0)
        pipe.feed(b"one")
        closed: list[bytes] = []
        pipe.close(lambda: closed.append(self.sink.take()))
        self.assertEqual(closed, [])
        self.clock.advance(1.0)
        self.assertEqual(closed, [b"one"])

    def test_triggers(self) -> None:
        """Something happens behind exactly so many bytes, however they come, and once."""
        for pieces in ([b"abcdef"], [b"ab", b"cdef"], [b"abc", b"def"], [b"abcd", b"ef"]):
            self.sink = MemoryTransport()
            pipe = self.pipe()
            seen: list[bytes] = []
            pipe.trigger = (3, lambda seen=seen: seen.append(self.sink.value()))
            for piece in pieces:
                pipe.feed(piece)
            self.assertEqual(seen, [b"abc"])
            self.assertEqual(self.sink.take(), b"abcdef")

    def test_holdsBack(self) -> None:
        """A source is not read while much of it is held back."""
        pipe = self.pipe()
        source = pipe.source
        assert isinstance(source, MemoryTransport)
        pipe.pauseProducing()
        pipe.feed(bytes(MOST_HELD))
        self.assertTrue(source.isReading)
        pipe.feed(b"!")
        self.assertFalse(source.isReading)
        pipe.resumeProducing()
        self.assertTrue(source.isReading)
        self.assertEqual(len(self.sink.take()), MOST_HELD + 1)


class LinkTests(SynchronousTestCase):
    """One connection through the proxy, with both ends in memory."""

    def link(self, plan: Plan = CALM) -> Link:
        self.clock = Clock()
        self.faults: Counter[str] = Counter()
        self.finished: list[Link] = []
        link = Link(self.clock, plan, self.faults, self.finished.append)
        self.client, self.server = MemoryTransport(), MemoryTransport()
        self.client.connect(link.client)
        self.server.connect(link.server)
        link.serverReady()
        return link

    def assertFinished(self) -> None:
        """See that it is finished once, and leaves no timer."""
        self.assertEqual(len(self.finished), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_passes(self) -> None:
        """Bytes go both ways; where one end closes, the other closes behind the last byte."""
        link = self.link()
        link.client.dataReceived(b"hello")
        link.server.dataReceived(b"200 OK")
        self.assertEqual((self.server.take(), self.client.take()), (b"hello", b"200 OK"))
        link.client.dataReceived(b"bye")
        self.client.lose()
        self.assertEqual(self.server.take(), b"bye")
        self.assertTrue(self.server.disconnecting)
        self.server.lose()
        self.assertFinished()

    def test_reset(self) -> None:
        """Behind the byte that was planned, both ends are reset, and nothing passes any more."""
        link = self.link(Plan(triggers=(Trigger(UP, 3, RESET_ALL),)))
        link.client.dataReceived(b"abcdef")
        self.assertEqual(self.server.take(), b"abc")
        self.assertTrue(self.server.disconnected and self.client.disconnected)
        self.client.lose()
        self.server.lose()
        self.assertFinished()
        self.assertEqual(self.faults["cuts, reset"], 1)

    def test_oneEndLongBefore(self) -> None:
        """An end that is not told goes on, and what the other had sent still arrives there."""
        plan = Plan(delays=((UP, 1.0),))
        link = self.link(plan)
        link.client.dataReceived(b"late")
        link.cut(Cut(CutHow.RESET, DOWN, 3.0))
        self.assertTrue(self.client.disconnected)
        self.client.lose()
        self.assertFalse(self.server.disconnected or self.server.disconnecting)
        link.server.dataReceived(b"into the void")
        self.clock.advance(1.0)
        self.assertEqual(self.server.take(), b"late")
        self.clock.advance(2.0)
        self.assertTrue(self.server.disconnected)
        self.assertEqual(self.finished, [])
        self.server.lose()
        self.assertFinished()

    def test_overtaken(self) -> None:
        """H4: a client's last bytes arrive long after its end is gone; then the other end goes."""
        link = self.link(Plan(triggers=(Trigger(UP, 2, Overtaking(3.0)),)))
        link.client.dataReceived(b"abcd")
        self.assertEqual(self.server.take(), b"ab")
        self.clock.advance(0.5)
        link.client.dataReceived(b"ef")
        self.clock.advance(0.5)
        self.assertTrue(self.client.disconnected)
        self.client.lose()
        self.assertEqual(self.server.take(), b"")
        self.clock.advance(2.0)
        self.assertEqual(self.server.take(), b"cdef")
        self.assertFalse(self.server.disconnected)
        self.clock.advance(1.0)
        self.assertTrue(self.server.disconnected)
        self.server.lose()
        self.assertFinished()

    def test_end(self) -> None:
        """FIN at both ends: what was taken in arrives first."""
        link = self.link(Plan(delays=((UP, 1.0),)))
        link.client.dataReceived(b"last")
        link.cut(Cut(CutHow.END, UP, 0.0))
        self.assertTrue(self.client.disconnecting)
        self.assertFalse(self.server.disconnecting)
        self.clock.advance(1.0)
        self.assertEqual(self.server.take(), b"last")
        self.assertTrue(self.server.disconnecting)

    def test_half(self) -> None:
        """FIN one way: the other way goes on until that end closes."""
        link = self.link()
        link.cut(Cut(CutHow.HALF, UP, 0.0))
        self.assertTrue(self.server.writeClosed)
        link.server.dataReceived(b"answer")
        self.assertEqual(self.client.take(), b"answer")
        self.server.lose()
        self.assertTrue(self.client.disconnecting)
        self.client.lose()
        self.assertFinished()

    def test_halfThenLostAtOnce(self) -> None:
        """
        A client's end that was half-closed is lost in the very call that closes it, as Twisted
        does; the link is finished once.
        """
        link = self.link()
        link.cut(Cut(CutHow.HALF, DOWN, 0.0))
        self.assertTrue(self.client.writeClosed)
        self.patch(self.client, "loseConnection", self.client.lose)
        self.server.lose()
        self.assertFinished()

    def test_lifetime(self) -> None:
        """It is cut when its time has come, and stalls when told to."""
        link = self.link(Plan(lifetime=5.0, cut=RESET_ALL))
        link.stall(Stall((UP,), 2.0))
        link.client.dataReceived(b"one")
        link.server.dataReceived(b"two")
        self.assertEqual((self.server.take(), self.client.take()), (b"", b"two"))
        self.clock.advance(2.0)
        self.assertEqual(self.server.take(), b"one")
        self.clock.advance(3.0)
        self.assertTrue(self.server.disconnected and self.client.disconnected)

    def test_noServer(self) -> None:
        """Where the server cannot be reached, the client is reset."""
        link = Link(Clock(), CALM, Counter(), lambda link: None)
        transport = MemoryTransport()
        transport.connect(link.client)
        link.serverFailed()
        self.assertTrue(transport.disconnected)


class FaultsTests(SynchronousTestCase):
    def test_drawn(self) -> None:
        """The same seed draws the same; and every kind of fault is drawn."""
        first, second = Faults(Random("1")), Faults(Random("1"))
        plans = [first.plan() for _ in range(500)]
        self.assertEqual(plans, [second.plan() for _ in range(500)])
        whats = [trigger.what for plan in plans for trigger in plan.triggers]
        cuts = [what for what in whats if isinstance(what, Cut)]
        self.assertEqual({cut.how for cut in cuts}, set(CutHow))
        self.assertEqual({cut.first for cut in cuts}, set(Direction))
        self.assertEqual({cut.lag > 0 for cut in cuts}, {True, False})
        self.assertEqual({type(what) for what in whats}, {Cut, Stall, Overtaking})
        self.assertTrue(all(trigger.after >= 1 for plan in plans for trigger in plan.triggers))
        self.assertTrue(any(plan.delays for plan in plans) and any(plan.drips for plan in plans))
