"""Gates by L{msgserver.directsend}, and without it: B3 and B5 on connections of Twisted's."""

from __future__ import annotations

import errno

from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.wire.framing import PacketReader
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import ONE, SECRET, GateCase
from tests.lines import Line
from tests.simulation.network import Reactor

BATCH = 131_072 + 60_005
"""Bytes of the answers of one batch, at most: it ends with the answer that makes it as long."""


class DirectTests(GateCase):
    """Answers are sent at once."""

    gateLimits = GateLimits(stallTimeout=30)
    isDirect = True
    bound = BATCH

    def setUp(self) -> None:
        GateCase.setUp(self)
        self.reactor = Reactor()
        # One clock for all: a connection's close is the reactor's business.
        self.factory = MsgFactory(
            self.service, self.reactor, self.gateLimits, isDirect=self.isDirect
        )
        self.user = self.login()
        self.protocol = self.factory.buildProtocol(None)
        self.line = Line(self.protocol, self.reactor, room=10_000)
        self.line.up.data = GateClient(self.user, SECRET, 1).hello
        self.line.turn()
        self.line.turn()
        self.assertEqual(self.line.taken(), b"\x00\x06200 OK")
        self.packets = PacketReader()

    def ask(self, *contents: bytes) -> None:
        """Send requests, each in a session of its own."""
        for number, content in enumerate(contents):
            self.line.up.data += requestPacket(number.to_bytes(4, "big"), content)

    def turns(self, count: int = 1) -> None:
        for _ in range(count):
            self.turn()  # Of the gate's own clock.
            self.line.turn()

    def heard(self) -> list[bytes]:
        """Have the client read, until no more comes; give the packets."""
        for _ in range(1000):
            self.packets.feed(self.line.taken())
            self.turns()
        return list(iter(self.packets.next, None))

    def test_neverReads(self) -> None:
        """B3: it asks for ever and reads nothing: what waits for it stays within bounds."""
        most = 0
        for _ in range(200):
            self.ask(b"big:60000")
            self.turns()
            most = max(most, self.line.waiting)
        self.assertGreater(most, 0)
        self.assertLess(most, self.bound)
        self.assertLess(len(self.handler.requests), 10)
        self.assertFalse(self.line.transport.isReading)
        # Its requests lie in the kernel, as they should.
        self.assertGreater(len(self.line.up.data), 0)

    def test_neverReadsManyAtOnce(self) -> None:
        """B3: so does it when all of its requests came in one piece."""
        self.ask(*[b"big:60000"] * 300)
        self.turns(50)
        self.assertLess(self.line.waiting, self.bound)
        self.assertLess(len(self.handler.requests), 10)

    def test_closedWhenItNeverReads(self) -> None:
        """B3: it is closed when its time is over; its login stays."""
        self.ask(*[b"big:60000"] * 20)
        self.turns(20)
        self.reactor.passTime(29.9)
        self.turns()
        self.assertFalse(self.line.socket.isClosed)
        self.reactor.passTime(0.1)
        self.turns()
        self.assertTrue(self.line.socket.isClosed)
        self.assertTrue(self.line.down.isReset)
        self.assertEqual(self.called("disconnected"), [("disconnected", self.user)])
        self.assertEqual(len(self.factory.limits), 0)

    def test_readsInTheEnd(self) -> None:
        """B3: when it does read, everything that it asked for comes, once and in order."""
        self.ask(*[b"big:%d" % (50_000 + number) for number in range(20)])
        self.turns(20)
        self.assertLess(len(self.handler.requests), 20)
        heard = self.heard()
        self.assertEqual([int.from_bytes(each[-4:], "big") for each in heard], [*range(20)])
        self.assertEqual([len(each) - 5 for each in heard], [*range(50_000, 50_020)])
        self.assertEqual(len(self.handler.requests), 20)
        self.assertEqual(self.line.waiting, 0)
        self.reactor.passTime(100)
        self.turns()
        self.assertFalse(self.line.socket.isClosed)

    def test_drainDelivers(self) -> None:
        """B5: what waits for a client at shutdown is delivered when it reads, then the close."""
        self.ask(*[b"big:60000"] * 3)
        self.turns(5)
        begun = len(self.handler.requests)
        waiting = self.line.waiting
        self.assertGreater(waiting, 0)
        stopped = self.stop()
        self.turns(5)
        self.assertFalse(self.line.down.isEnded)
        heard = self.heard()
        self.assertEqual([len(each) for each in heard], [60_005] * begun)
        self.assertTrue(self.line.down.isEnded)
        self.assertFalse(self.line.down.isReset)
        self.assertNoResult(stopped)
        self.line.up.data, self.line.up.isEnded = b"", True
        self.turns(2)
        self.successResultOf(stopped)

    def test_brokenBatch(self) -> None:
        """S3: what a batch had answered before it broke leaves, however little there is room."""
        self.line.down.capacity = 3
        self.ask(b"a", b"b")
        self.line.up.data += b"\x00\x00"
        self.turns(2)
        data = b""
        while piece := self.line.taken():
            data += piece
            self.turns()
        self.packets.feed(data)
        self.assertEqual(list(iter(self.packets.next, None)), [b"a\x01" + bytes(4), b"b\x01" + ONE])
        self.assertTrue(self.line.down.isEnded)

    def test_lostInTheMiddle(self) -> None:
        """S8: a connection that breaks while a batch is sent is lost once; answers are kept."""
        self.line.socket.script = [OSError(errno.EPIPE, "broken")] * 2
        self.ask(b"a", b"b")
        self.turns(2)
        self.assertEqual(self.called("disconnected"), [("disconnected", self.user)])
        self.assertTrue(self.line.socket.isClosed)
        again = self.connect(self.user, 2)
        again.ask(ONE, b"?")
        self.assertEqual(again.heard(), [b"b\x01" + ONE])
        self.assertEqual(self.handler.requests, [b"a", b"b"])


class TransportTests(DirectTests):
    """The same rules hold where answers go the transport's way."""

    isDirect = False
    # It says so once it holds back more than this.
    bound = 65536 + BATCH
