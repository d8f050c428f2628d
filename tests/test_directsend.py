"""L{msgserver.directsend}: which bytes leave when, and who is told to wait."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from msgserver.closing import closeDelivering
from msgserver.directsend import DirectSend, writerFor
from tests.lines import Line, Writer
from tests.simulation.network import Reactor

BROKEN = errno.EPIPE, errno.ECONNRESET, errno.EBADF
FULL = errno.EWOULDBLOCK, errno.ENOBUFS


class DirectSendCase(SynchronousTestCase):
    """Tests that need one connection, and what writes to it."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.writer = Writer()
        self.line = Line(self.writer, self.reactor)
        self.write = writerFor(self.line.transport, self.writer)

    def fails(self, number: int, times: int = 1) -> None:
        """Have the next sends fail."""
        self.line.socket.script += [OSError(number, "as the test says")] * times


class SendTests(DirectSendCase):
    """What leaves."""

    def test_atOnce(self) -> None:
        """What there is room for leaves at once, and the reactor has nothing to do with it."""
        self.write(b"answer")
        self.assertEqual(self.line.taken(), b"answer")
        self.assertEqual(self.line.waiting, 0)
        self.assertEqual(self.reactor.writers, {})
        self.assertEqual(self.writer.told, [])
        self.assertIsNone(self.line.transport.producer)

    def test_shortSends(self) -> None:
        """What a send did not take comes behind what it took, once, whatever it took."""
        for sent in (0, 1, 3, 5):
            self.setUp()
            self.line.socket.script = [sent]
            self.write(b"answer")
            self.assertEqual(self.line.down.data, b"answer"[:sent])
            self.assertEqual(self.line.waiting, 6 - sent)
            self.assertEqual(self.writer.told, ["pause"])
            self.line.turn()
            self.assertEqual(self.line.taken(), b"answer")
            self.assertEqual(self.line.waiting, 0)
            self.assertEqual(self.writer.told, ["pause", "resume"])

    def test_noRoom(self) -> None:
        """A send that fails for want of room loses nothing, nor does one that fails again."""
        for number in FULL:
            self.setUp()
            self.fails(number, times=3)
            self.write(b"answer")
            self.assertEqual(self.line.waiting, 6)
            self.line.turn()
            self.line.turn()
            self.assertEqual((self.line.waiting, self.writer.told), (6, ["pause"]))
            self.line.turn()
            self.assertEqual(self.line.taken(), b"answer")
            self.assertEqual(self.writer.told, ["pause", "resume"])

    def test_broken(self) -> None:
        """A connection that is broken is lost in the reactor's turn, once, and not before."""
        for number in BROKEN:
            self.setUp()
            self.fails(number, times=2)
            self.write(b"answer")
            self.assertEqual(self.writer.told, ["pause"])
            self.write(b"another")
            self.line.turn()
            self.assertEqual(self.writer.told, ["pause", "lost: ConnectionLost"])
            self.line.turn()
            self.assertEqual(self.line.taken(), b"")
            self.assertEqual(len(self.writer.told), 2)
            self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))

    def test_order(self) -> None:
        """Bytes leave in the order in which they were written, whatever each send took."""
        self.line.down.capacity = 50
        written = b""
        heard = b""
        for number in range(200):
            data = b"%d," % number * (number % 7 + 1)
            written += data
            self.write(data)
            if number % 3 == 0:
                heard += self.line.taken(number % 60)
                self.line.turn()
        heard += self.line.drained()
        self.assertEqual(heard, written)
        self.assertIn("resume", self.writer.told)

    def test_onlyWhenAllHasLeft(self) -> None:
        """Nothing overtakes: it is sent directly again only when nothing waits any more."""
        self.line.down.capacity = 4
        self.write(b"abcdefgh")
        self.write(b"ij")
        self.assertEqual((self.line.down.data, self.line.waiting), (b"abcd", 6))
        self.assertEqual(self.line.taken(), b"abcd")
        # There is room now, but "efgh" comes first.
        self.write(b"kl")
        self.assertEqual(self.line.down.data, b"")
        self.line.turn()
        self.assertEqual((self.line.down.data, self.line.waiting), (b"efgh", 4))
        self.assertEqual(self.writer.told, ["pause"])
        self.assertEqual(self.line.taken(), b"efgh")
        self.line.turn()
        self.assertEqual((self.line.down.data, self.line.waiting), (b"ijkl", 0))
        self.assertEqual(self.writer.told, ["pause", "resume"])

    def test_directlyAgain(self) -> None:
        """Then it is as before: at once, without a producer, and without the reactor."""
        self.line.socket.script = [2]
        self.write(b"answer")
        self.line.turn()
        self.assertIsNone(self.line.transport.producer)
        self.assertEqual(self.reactor.writers, {})
        self.write(b" another")
        self.assertEqual(self.line.taken(), b"answer another")
        self.assertEqual(self.line.socket.sends, [6, 4, 8])

    def test_bigOne(self) -> None:
        """One of many times the room leaves as the client reads it."""
        self.line.down.capacity = 1000
        big = bytes(range(256)) * 1000
        self.write(big)
        self.assertEqual(self.line.drained(), big)
        self.assertEqual(self.writer.told, ["pause", "resume"])


class ProducerTests(DirectSendCase):
    """Who writes is told to wait, and to go on, once each."""

    def test_pausedOnce(self) -> None:
        """However much is written meanwhile."""
        self.line.down.capacity = 10
        for _ in range(20):
            self.write(bytes(10_000))
        self.assertEqual(self.writer.told, ["pause"])
        self.assertEqual(len(self.line.drained()), 200_000)
        self.assertEqual(self.writer.told, ["pause", "resume"])

    def test_writesWhenResumed(self) -> None:
        """What it writes as soon as it may leaves at once, or it is told to wait again."""
        self.line.down.capacity = 4
        texts = [b"fghijk", b"l"]
        self.writer.whenResumed = lambda: self.write(texts.pop(0)) if texts else None
        self.write(b"abcde")
        self.assertEqual(self.line.taken(), b"abcd")
        self.line.turn()
        self.assertEqual(self.line.down.data, b"efgh")
        self.assertEqual(self.writer.told, ["pause", "resume", "pause"])
        self.assertEqual(self.line.drained(), b"efghijkl")
        self.assertEqual(self.writer.told, ["pause", "resume", "pause", "resume"])
        self.assertEqual(texts, [])

    def test_stalledAgain(self) -> None:
        """As often as it comes to that."""
        self.line.down.capacity = 4
        for count in range(1, 4):
            self.write(b"abcdefgh")
            self.assertEqual(self.writer.told, ["pause", "resume"] * (count - 1) + ["pause"])
            self.assertEqual(self.line.drained(), b"abcdefgh")
            self.assertEqual(self.writer.told, ["pause", "resume"] * count)


class CloseTests(DirectSendCase):
    """Closes while something waits, and while nothing does."""

    def setUp(self) -> None:
        DirectSendCase.setUp(self)
        self.line.down.capacity = 4

    def test_closeDelivering(self) -> None:
        """B5: what waits is delivered, then comes the end; nobody writes any more."""
        self.write(b"abcdefgh")
        self.line.transport.unregisterProducer()
        closeDelivering(self.line.transport)
        self.assertFalse(self.line.down.isEnded)
        self.assertEqual(self.line.drained(), b"abcdefgh")
        self.assertTrue(self.line.down.isEnded)
        self.assertFalse(self.line.down.isReset)
        self.assertEqual(self.writer.told, ["pause"])
        self.line.up.isEnded = True
        self.line.turn()
        self.assertEqual(self.writer.told, ["pause", "lost: ConnectionDone"])

    def test_closeWithMore(self) -> None:
        """B5: what is written between the order to close and the end still comes before it."""
        self.write(b"abcdef")
        self.line.transport.unregisterProducer()
        closeDelivering(self.line.transport)
        self.write(b"gh")
        self.assertEqual(self.line.drained(), b"abcdefgh")
        self.assertTrue(self.line.down.isEnded)

    def test_closeWithNothingWaiting(self) -> None:
        """B5: it is closed in the next turn."""
        self.write(b"abc")
        self.line.transport.unregisterProducer()
        closeDelivering(self.line.transport)
        self.line.turn()
        self.assertTrue(self.line.down.isEnded)
        self.assertEqual(self.line.drained(), b"abc")

    def test_closeAsAWhole(self) -> None:
        """So it is where both sides are closed."""
        self.write(b"abcdefgh")
        self.line.transport.unregisterProducer()
        self.line.transport.loseConnection()
        self.assertEqual(self.line.drained(), b"abcdefgh")
        self.assertEqual(self.writer.told, ["pause", "lost: ConnectionDone"])

    def test_abort(self) -> None:
        """H4: what waits at an abort goes nowhere, and nobody is told to go on."""
        self.write(b"abcdefgh")
        self.line.transport.abortConnection()
        self.assertEqual(self.line.drained(), b"abcd")
        self.line.turn()
        self.assertTrue(self.line.down.isReset)
        self.assertEqual(self.writer.told, ["pause", "lost: ConnectionAborted"])

    def test_lost(self) -> None:
        """A connection that breaks while something waits is lost once; nothing is told then."""
        self.write(b"abcdefgh")
        self.line.up.isReset = True
        self.line.down.isReset = True
        self.line.turn()
        self.line.turn()
        self.assertEqual(self.writer.told, ["pause", "lost: ConnectionLost"])
        self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))

    def test_writtenWhenLost(self) -> None:
        """What is written to a lost connection is no error, and goes nowhere."""
        self.write(b"ab")
        self.line.up.isEnded = True
        self.line.turn()
        self.assertEqual(self.writer.told, ["lost: ConnectionDone"])
        self.write(b"cd")
        self.write(b"ef")
        self.line.turn()
        self.assertEqual(self.line.taken(), b"ab")
        self.assertEqual(self.reactor.writers, {})


class SlotTests(SynchronousTestCase):
    """What one costs."""

    def test_slots(self) -> None:
        """There is one for each connection: it has no dict."""
        self.assertFalse(
            hasattr(DirectSend(Line(Writer(), Reactor()).transport, Writer()), "__dict__")
        )
