"""A rate of requests on real sockets, whose reads and writes go past the reactor's buffers."""

from __future__ import annotations

import socket

from msgserver.msgprotocol import GateLimits, MsgFactory, MsgProtocol
from msgserver.wire.framing import PacketReader
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import SECRET, GateCase
from tests.reactors import ReadSetCase, hasEnded, readNow


class SocketTests(ReadSetCase):
    """Four requests a second, three before that holds."""

    def setUp(self) -> None:
        """Make the gate, and a connection that has shaken hands."""
        ReadSetCase.setUp(self)
        self.gate = GateCase()
        self.gate.setUp()
        limits = GateLimits(requestRate=4, requestBurst=3)
        factory = MsgFactory(self.gate.service, self.gate.clock, limits, readSet=self.set)
        self.protocol: MsgProtocol = factory.buildProtocol(None)
        self.packets = PacketReader()
        self.heard: list[bytes] = []
        server, self.client = self.tcpPair()
        self.serve(self.protocol, server)
        self.client.send(GateClient(self.gate.login(), SECRET, 1).hello)
        self.hear(1)
        self.heard.clear()

    def hear(self, count: int) -> None:
        """Wait until so many packets have come in all."""

        def areThere() -> bool:
            self.packets.feed(readNow(self.client))
            self.heard.extend(iter(self.packets.next, None))
            return len(self.heard) >= count

        self.until(areThere, f"{count} packets")

    def ask(self, first: int, count: int) -> None:
        """Send requests, numbered from C{first}."""
        numbers = range(first, first + count)
        self.client.send(b"".join(requestPacket(n.to_bytes(4, "big"), b"?") for n in numbers))

    def assertHeard(self, count: int) -> None:
        """See the first requests answered, in their order, and no other."""
        self.hear(count)
        for _ in range(3):
            self.turn()
        self.hear(count)
        self.assertEqual([int.from_bytes(each[-4:], "big") for each in self.heard], [*range(count)])

    def test_inTurn(self) -> None:
        """Who asks too often is not read; all is answered in its turn; then he is read again."""
        self.assertEqual(len(self.set), 1)
        self.ask(0, 6)
        self.assertHeard(3)
        self.assertEqual(len(self.set), 0)
        self.ask(6, 3)
        for count in range(4, 10):
            self.gate.clock.advance(0.25)
            self.assertHeard(count)
        self.gate.clock.advance(0.25)
        self.assertEqual(len(self.set), 1)

    def test_halfClosed(self) -> None:
        """Who says that this was all is closed when all of it has been answered."""
        self.ask(0, 5)
        self.client.shutdown(socket.SHUT_WR)
        self.assertHeard(3)
        self.gate.clock.advance(0.25)
        self.assertHeard(4)
        self.gate.clock.advance(0.25)
        self.assertHeard(5)
        self.until(lambda: hasEnded(self.client), "it is closed")
        self.assertEqual(len(self.gate.called("disconnected")), 1)

    def test_reset(self) -> None:
        """One that goes while its requests wait leaves nothing."""
        self.ask(0, 5)
        self.assertHeard(3)
        self.client.close()
        self.gate.clock.advance(0.5)
        self.until(lambda: self.gate.called("disconnected"), "it is lost")
        self.assertEqual(len(self.set), 0)
