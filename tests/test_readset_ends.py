"""L{msgserver.readset}: ends, errors and closes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from tests.reactors import BUFFER, ReadSetCase, Recorder, hasEnded, readNow, reset


class Broken(Exception):
    """What a protocol raises on purpose."""


class EndTests(ReadSetCase):
    """Ends, errors and closes."""

    def test_end(self) -> None:
        """What came before the end is received; then the connection is lost, once."""
        protocol, client = self.adopt()
        client.send(b"last")
        client.close()
        self.until(lambda: protocol.reasons, "it is lost")
        self.turn()
        self.assertEqual((protocol.heard, protocol.reasons), (b"last", [ConnectionDone]))
        self.assertEqual(len(self.set), 0)

    def test_endAlone(self) -> None:
        """So it is where nothing came before."""
        protocol, client = self.adopt()
        client.close()
        self.until(lambda: protocol.reasons, "it is lost")
        self.assertEqual((protocol.pieces, protocol.reasons), ([], [ConnectionDone]))

    def test_muchBeforeTheEnd(self) -> None:
        """All of what came before the end is received, though it is more than one read."""
        protocol, client = self.adopt(ends=self.tcpPair())
        sent = client.send(bytes(3 * BUFFER))
        self.assertGreater(sent, BUFFER)
        client.shutdown(socket.SHUT_WR)
        self.until(lambda: protocol.reasons, "it is lost")
        self.assertEqual((len(protocol.heard), protocol.reasons), (sent, [ConnectionDone]))

    def test_halfClose(self) -> None:
        """A protocol that knows half-closed connections hears of that, and may still write."""

        @implementer(IHalfCloseableProtocol)
        class HalfCloseable(Recorder):
            ended = 0

            def readConnectionLost(self) -> None:
                self.ended += 1

            def writeConnectionLost(self) -> None:
                pass

        protocol = HalfCloseable()
        _, client = self.adopt(protocol)
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        self.until(lambda: protocol.ended, "it hears of it")
        self.assertEqual((protocol.heard, protocol.reasons), (b"question", []))
        protocol.transport.write(b"answer")
        protocol.transport.loseConnection()
        self.until(lambda: protocol.reasons, "it is closed")
        self.assertEqual((readNow(client), protocol.ended), (b"answer", 1))

    def test_reset(self) -> None:
        """A reset is an error; the connection is lost, once, and nobody else suffers."""
        protocol, client = self.adopt(ends=self.tcpPair())
        other, otherClient = self.adopt()
        reset(client)
        otherClient.send(b"a")
        self.until(lambda: protocol.reasons, "it is lost")
        self.turn()
        self.assertEqual((protocol.pieces, protocol.reasons), ([], [ConnectionLost]))
        self.assertEqual((other.pieces, other.reasons), ([b"a"], []))

    def test_resetWhilePaused(self) -> None:
        """One that is not read is lost as soon as it is read again."""
        protocol, client = self.adopt(ends=self.tcpPair())
        protocol.transport.pauseProducing()
        reset(client)
        self.turn()
        protocol.transport.resumeProducing()
        self.until(lambda: protocol.reasons, "it is lost")
        self.assertEqual(protocol.reasons, [ConnectionLost])

    def test_resetWhileWriting(self) -> None:
        """So is one that the reactor finds broken when it writes, whoever comes first."""
        protocol, client = self.adopt(ends=self.tcpPair())
        protocol.transport.write(bytes(1 << 24))
        self.turn()
        reset(client)
        self.until(lambda: protocol.reasons, "it is lost")
        self.turn()
        self.assertEqual(len(protocol.reasons), 1)
        self.assertEqual(len(self.set), 0)
        self.assertNotIn(protocol.transport, self.reactor.getWriters())

    def test_exception(self) -> None:
        """A protocol that fails loses its connection, and is logged once; others are served."""

        def fail(data: bytes) -> None:
            raise Broken

        connections = [self.adopt() for _ in range(5)]
        connections[2][0].reaction = fail
        for _, client in connections:
            client.send(b"a")
        self.turn()
        self.assertEqual([each.pieces for each, _ in connections], [[b"a"]] * 5)
        self.assertEqual([each.reasons for each, _ in connections], [[], [], [Broken], [], []])
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertTrue(hasEnded(connections[2][1]))
        for _, client in connections[3:]:
            client.send(b"b")
        self.turn()
        self.assertEqual(len(self.set), 4)
        self.assertEqual([each.pieces for each, _ in connections[3:]], [[b"a", b"b"]] * 2)

    def test_exceptionWhenLost(self) -> None:
        """One that fails at its end, too, harms nobody else."""

        class Worse(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                raise Broken

        def fail(data: bytes) -> None:
            raise Broken

        connections = [self.adopt(Worse(fail) if number == 2 else None) for number in range(5)]
        for _, client in connections:
            client.send(b"a")
        self.turn()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)
        self.assertEqual([each.pieces for each, _ in connections], [[b"a"]] * 5)
        self.assertEqual([each.reasons for each, _ in connections], [[]] * 5)
        self.assertEqual(len(self.set), 4)

    def test_closedByAnother(self) -> None:
        """One that is closed by one served before it in the same turn is not read."""
        for close in ("abortConnection", "loseConnection", "stopConsuming"):
            one, oneClient = self.adopt()
            other, otherClient = self.adopt()
            one.reaction = self.closing(other, close)
            other.reaction = self.closing(one, close)
            oneClient.send(b"a")
            otherClient.send(b"a")
            self.turn()
            self.assertEqual(sorted([one.pieces, other.pieces]), [[], [b"a"]])
            closed = other if one.pieces else one
            self.until(closed.reasons.__len__, "it is lost")
            self.turn()
            self.assertEqual((len(closed.reasons), closed.pieces), (1, []))

    def closing(self, protocol: Recorder, how: str) -> Callable[[bytes], object]:
        """Make a reaction that closes another connection."""
        return lambda data: getattr(protocol.transport, how)()

    def test_abort(self) -> None:
        """A connection that is aborted by its own protocol is lost in the next turn."""
        protocol, client = self.adopt()
        protocol.reaction = lambda data: protocol.transport.abortConnection()
        client.send(b"a")
        self.turn()
        client.send(b"b")
        self.turn()
        self.assertEqual((protocol.pieces, protocol.reasons), ([b"a"], [ConnectionAborted]))

    def test_close(self) -> None:
        """One that is closed delivers what was written."""
        protocol, client = self.adopt()
        protocol.transport.write(b"bye")
        protocol.transport.loseConnection()
        self.until(lambda: protocol.reasons, "it is closed")
        self.assertEqual((readNow(client), protocol.pieces), (b"bye", []))
        self.assertEqual(protocol.reasons, [ConnectionDone])

    def test_shutdown(self) -> None:
        """When the reactor ends, so does every connection of the set, once."""
        connections = [self.adopt() for _ in range(3)]
        self.reactor.disconnectAll()
        self.reactor.disconnectAll()
        self.assertEqual([each.reasons for each, _ in connections], [[ConnectionLost]] * 3)
        self.assertEqual(len(self.set), 0)
        self.assertTrue(all(hasEnded(client) for _, client in connections))

    def test_shutdownWithException(self) -> None:
        """One that fails then does not keep the others from their ends."""

        class Worse(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                raise Broken

        connections = [self.adopt(Worse() if number == 0 else None) for number in range(3)]
        self.reactor.disconnectAll()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertEqual(
            [each.reasons for each, _ in connections], [[], [ConnectionLost], [ConnectionLost]]
        )
