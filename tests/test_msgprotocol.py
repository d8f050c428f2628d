"""L{msgserver.msgprotocol}: the rules H, S3, B1, B3 and B4, seen from a connection."""

from __future__ import annotations

from twisted.internet.interfaces import ITransport
from twisted.internet.testing import StringTransport

from msgserver.interfaces import User
from msgserver.msgprotocol import GateLimits
from msgserver.sessions import SessionLimits
from msgserver.wire.framing import packet
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import ONE, SECRET, THREE, TWO, Client, GateCase

ALICE_UNKNOWN = User(b"alice", b"unknown", b"sample")


class HandshakeTests(GateCase):
    """H1 to H4."""

    def refusal(self, hello: bytes) -> Client:
        client = Client(self.factory)
        client.send(hello)
        self.assertTrue(client.isClosed)
        return client

    def hello(self, user: User, index: int = 1, secret: bytes = SECRET) -> bytes:
        return GateClient(user, secret, index).hello

    def test_accepted(self) -> None:
        """A handshake that fits is told so, and the connection stays."""
        client = self.connect(self.login())
        self.assertFalse(client.isClosed)
        self.assertTrue(client.transport.isReading)

    def test_noHandshake(self) -> None:
        """H: what is not of the form is a bad request."""
        self.assertEqual(self.refusal(b"\x00\x03abc").heard(), [b"400 Bad Request"])

    def test_unknownLogin(self) -> None:
        """H: a login that is not here is not found, whatever the mac."""
        self.login()
        self.assertEqual(self.refusal(self.hello(ALICE_UNKNOWN)).heard(), [b"404 User Not Found"])

    def test_wrongMac(self) -> None:
        """H1: a wrong mac is told so before the index is looked at, and does not use it up."""
        user = self.login()
        for index in (0, 1, 5):
            client = self.refusal(self.hello(user, index, bytes(8)))
            self.assertEqual(client.heard(), [b"401 Unauthorized"])
        self.connect(user, 1)

    def test_usedIndex(self) -> None:
        """H: an index is good once, and so is none below it; 0 never is."""
        user = self.login()
        self.assertEqual(self.refusal(self.hello(user, 0)).heard(), [b"403 Index Expired"])
        self.connect(user, 7)
        for index in (7, 6, 1, 0):
            self.assertEqual(self.refusal(self.hello(user, index)).heard(), [b"403 Index Expired"])
        self.connect(user, 8)

    def test_refusedIsNotHeard(self) -> None:
        """H2: what comes behind a refused handshake reaches nobody."""
        user = self.login()
        client = self.refusal(self.hello(user, 0) + self.hello(user, 1) + requestPacket(ONE, b"x"))
        client.send(self.hello(user, 1) + requestPacket(ONE, b"x"))
        self.assertEqual(client.heard(), [b"403 Index Expired"])
        self.assertEqual(self.handler.requests, [])
        self.connect(user, 1)

    def test_refusedDoesNotTouchTheLive(self) -> None:
        """H4: only a handshake that succeeds replaces the live connection."""
        user = self.login()
        live = self.connect(user, 1)
        self.refusal(self.hello(user, 1))
        live.ask(ONE, b"still there")
        self.assertEqual(live.heard(), [b"still there\x01" + ONE])

    def test_requestsBehindTheHandshake(self) -> None:
        """H2: requests in the segment of the handshake are served after the 200."""
        client = Client(self.factory)
        hello = self.hello(self.login())
        client.send(hello + requestPacket(ONE, b"a") + requestPacket(TWO, b"b")[:5])
        client.send(requestPacket(TWO, b"b")[5:])
        self.assertEqual(client.heard(), [b"200 OK", b"a\x01" + ONE, b"b\x01" + TWO])

    def test_inOnePiece(self) -> None:
        """B3: so no request runs while the transport holds back the 200."""
        written: list[bytes] = []
        self.patch(self.factory, "attach", lambda transport, protocol: written.append)
        client = Client(self.factory)
        client.send(self.hello(self.login()) + requestPacket(ONE, b"a") + requestPacket(TWO, b"b"))
        answers = packet(b"a\x01" + ONE) + packet(b"b\x01" + TWO)
        self.assertEqual(written, [packet(b"200 OK") + answers])

    def test_byteByByte(self) -> None:
        """Handshake and requests may come in any pieces."""
        client = Client(self.factory)
        for byte in self.hello(self.login()) + requestPacket(ONE, b"a"):
            client.send(bytes([byte]))
        self.assertEqual(client.heard(), [b"200 OK", b"a\x01" + ONE])

    def test_deadline(self) -> None:
        """H3: a connection that has not shaken hands in time is closed at once."""
        silent, slow = Client(self.factory), Client(self.factory)
        slow.send(b"\x00")
        self.clock.advance(9.9)
        self.assertFalse(silent.isAborted)
        slow.send(b"\x10")
        self.clock.advance(0.1)
        self.assertTrue(silent.isAborted)
        self.assertTrue(slow.isAborted)

    def test_deadlineIsOver(self) -> None:
        """H3: a connection that has shaken hands may be silent for as long as it likes."""
        client = self.connect(self.login())
        self.clock.advance(1000)
        self.assertFalse(client.isAborted)

    def test_refusedMustGo(self) -> None:
        """A refused client that never closes its side is closed with the deadline of H3."""
        client = self.refusal(b"\x00\x03abc")
        self.clock.advance(10)
        self.assertTrue(client.isAborted)

    def test_oneLiveConnection(self) -> None:
        """H4: the earlier connection is closed at once, and nothing it sends is heard."""
        user = self.login()
        old = self.connect(user, 1)
        old.send(requestPacket(ONE, b"half")[:4])
        new = self.connect(user, 2)
        self.assertTrue(old.isAborted)
        old.send(requestPacket(ONE, b"half")[4:] + requestPacket(TWO, b"whole"))
        self.assertEqual(self.handler.requests, [])
        old.lose()
        self.assertEqual(self.called("disconnected"), [])
        new.ask(ONE, b"hello")
        self.assertEqual(new.heard(), [b"hello\x01" + ONE])


class RequestTests(GateCase):
    """S3, B4 and the ways of an answer."""

    sessionLimits = SessionLimits(maxPacket=200)
    gateLimits = GateLimits(maxPacket=200)

    def test_oneWriteForABatch(self) -> None:
        """The answers to what one piece holds leave in one write."""
        client = self.connect(self.login())
        writes: list[bytes] = []
        self.patch(client.protocol, "_write", writes.append)
        client.send(b"".join(requestPacket(session, b"x") for session in (ONE, TWO, THREE)))
        self.assertEqual(
            writes, [b"".join(b"\x00\x06x\x01" + session for session in (ONE, TWO, THREE))]
        )

    def test_shortRequest(self) -> None:
        """S3: a request too short for its session ends the connection, not the login."""
        for length in range(4):
            user = self.login(b"uid %d" % length)
            client = self.connect(user)
            client.send(requestPacket(ONE, b"before") + bytes([0, length]) + bytes(length))
            client.ask(TWO, b"behind")
            self.assertEqual(client.heard(), [b"before\x01" + ONE])
            self.assertTrue(client.isClosed)
            client.lose()
            self.assertEqual(self.handler.calls[-1], ("disconnected", user))
            self.connect(user, 2)
        self.assertNotIn(b"behind", self.handler.requests)

    def test_longRequest(self) -> None:
        """B4: a packet over the limit ends the connection before it is buffered."""
        client = self.connect(self.login())
        client.ask(ONE, bytes(196))
        self.assertEqual(len(client.heard()), 1)
        client.send(b"\x00\xc9")
        self.assertTrue(client.isClosed)

    def test_longHandshake(self) -> None:
        """B4: so does a handshake over the limit, without an answer."""
        client = Client(self.factory)
        client.send(b"\x00\xc9")
        self.assertEqual(client.heard(), [])
        self.assertTrue(client.isClosed)

    def test_brokenStaysClosed(self) -> None:
        """S3: what the handler answers later does not open the connection again."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        client.send(b"\x00\x00")
        self.fulfil(b"a", b"kept")
        self.assertEqual(client.heard(), [])
        client.lose()
        again = self.connect(user, 2)
        again.ask(ONE, b"?")
        self.assertEqual(again.heard(), [b"kept\x01" + ONE])

    def test_closeIsBounded(self) -> None:
        """B3: a client that never closes its side is not waited for, whatever happens."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        client.send(b"\x00\x00")
        self.clock.advance(15)
        self.fulfil(b"a", b"too late")
        client.send(b"\x00\x00")
        self.clock.advance(14.9)
        self.assertFalse(client.isAborted)
        self.clock.advance(0.1)
        self.assertTrue(client.isAborted)

    def test_closeOfStalled(self) -> None:
        """B3: a client that is not read is read again for its close; nobody waits for more."""
        user = self.login()
        client = self.connect(user)
        client.protocol.pauseProducing()
        self.handler.gate.logout(user)
        self.turn()
        self.assertTrue(client.isClosed)
        self.assertTrue(client.transport.isReading)
        # With a producer there, TLS would wait for it before it closed.
        self.assertIsNone(client.transport.producer)

    def test_nodelay(self) -> None:
        """Answers do not wait for more to send, unless the config says so."""
        self.assertTrue(Client(self.factory).transport.getTcpNoDelay())
        # Nothing else finds out that a phone has vanished.
        self.assertTrue(Client(self.factory).transport.getTcpKeepAlive())
        self.factory.nodelay = False
        self.assertFalse(Client(self.factory).transport.getTcpNoDelay())

    def test_otherTransports(self) -> None:
        """A transport that is no TCP connection serves as well, and is closed its own way."""
        transport = StringTransport()
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(transport)
        self.assertTrue(ITransport.providedBy(transport))
        protocol.dataReceived(GateClient(self.login(), SECRET, 1).hello)
        protocol.dataReceived(requestPacket(ONE, b"hello") + b"\x00\x00")
        self.assertEqual(transport.value(), b"\x00\x06200 OK\x00\x0ahello\x01" + ONE)
        self.assertTrue(transport.disconnecting)


class ConnectionCountTests(GateCase):
    """B1."""

    gateLimits = GateLimits(maxclient=8)

    def test_exactlyMaxclient(self) -> None:
        """B1: maxclient connections are taken, one more is closed at once and counted."""
        clients = [Client(self.factory) for _ in range(8)]
        self.assertEqual([client.isAborted for client in clients], [False] * 8)
        more = Client(self.factory)
        self.assertTrue(more.isAborted)
        self.assertEqual(self.factory.limits.hits["maxclient"], 1)
        more.lose()
        self.assertTrue(Client(self.factory).isAborted)

    def test_aPlaceIsFreed(self) -> None:
        """B1: a connection that is lost makes room for another."""
        clients = [Client(self.factory) for _ in range(8)]
        clients[3].lose()
        self.assertFalse(Client(self.factory).isAborted)
        self.assertTrue(Client(self.factory).isAborted)


class SlowReaderTests(GateCase):
    """B2 and B3: who is read, and for how long."""

    sessionLimits = SessionLimits(maxRunning=2)

    def test_notReadWhileStalled(self) -> None:
        """B3: a client whose transport holds answers back is not read until it has drained."""
        client = self.connect(self.login())
        client.protocol.pauseProducing()
        self.assertFalse(client.transport.isReading)
        client.protocol.resumeProducing()
        self.assertTrue(client.transport.isReading)
        self.clock.advance(100)
        self.assertFalse(client.isAborted)

    def test_closedWhenItNeverReads(self) -> None:
        """B3: it is closed when it has not drained in time; the login stays, and S8 holds."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"hello")
        client.protocol.pauseProducing()
        self.clock.advance(30)
        self.assertTrue(client.isAborted)
        client.lose()
        again = self.connect(user, 2)
        again.ask(ONE, b"?")
        self.assertEqual(again.heard(), [b"hello\x01" + ONE])

    def test_answersGiveNoFurtherTime(self) -> None:
        """B3: its time runs on, whatever is answered meanwhile."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        client.protocol.pauseProducing()
        self.clock.advance(29)
        self.fulfil(b"a", b"done")
        client.protocol.pauseProducing()  # As TCP says again with each further write.
        self.assertFalse(client.isAborted)
        self.clock.advance(1)
        self.assertTrue(client.isAborted)

    def test_drainedGetsTheWholeTime(self) -> None:
        """B3: each time that it has drained, its time begins anew."""
        client = self.connect(self.login())
        client.protocol.pauseProducing()
        self.clock.advance(29)
        client.protocol.resumeProducing()
        client.protocol.pauseProducing()
        self.clock.advance(29)
        self.assertFalse(client.isAborted)

    def test_answersWaitForTheTransport(self) -> None:
        """B3: a few small requests do not fill memory with large answers."""
        client = self.connect(self.login())
        client.protocol.pauseProducing()
        big = b"".join(requestPacket(bytes([0, 0, 1, n]), b"big:60000") for n in range(100))
        client.send(big)
        self.assertLess(len(self.handler.requests), 10)
        total = len(client.heard())
        for _ in range(100):
            client.protocol.resumeProducing()
            total += len(client.heard())
        self.assertEqual(total, 100)

    def test_transportThatStallsInTheMiddle(self) -> None:
        """B3: it is the transport's word, in the middle of a batch, that stops the serving."""
        client = self.connect(self.login())
        write = client.protocol._write

        def writeAndStall(data: bytes) -> None:
            write(data)
            client.protocol.pauseProducing()

        self.patch(client.protocol, "_write", writeAndStall)  # As TCP does.
        client.send(b"".join(requestPacket(bytes([0, 0, 1, n]), b"big:60000") for n in range(20)))
        served = len(self.handler.requests)
        self.assertLess(served, 10)
        self.turn()
        self.assertEqual(len(self.handler.requests), served)
        client.protocol.resumeProducing()
        self.assertGreater(len(self.handler.requests), served)

    def test_lateAnswersWhileStalled(self) -> None:
        """B3: an answer that comes meanwhile goes to the transport, but no request begins."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        client.protocol.pauseProducing()
        self.fulfil(b"a", b"done")
        self.assertEqual(client.heard(), [b"done\x01" + ONE])
        self.assertFalse(client.transport.isReading)

    def test_tooManyRunning(self) -> None:
        """B2: past the limit the connection is not read until some are answered."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        client.send(requestPacket(TWO, b"later:b") + requestPacket(THREE, b"c"))
        self.assertEqual(self.handler.requests, [b"later:a", b"later:b"])
        self.assertFalse(client.transport.isReading)
        self.fulfil(b"b", b"done")
        self.assertEqual(client.heard(), [b"done\x01" + TWO, b"c\x01" + THREE])
        self.assertTrue(client.transport.isReading)

    def test_fullAndStalled(self) -> None:
        """B2, B3: reading goes on when neither reason against it is left."""
        client = self.connect(self.login())
        client.send(b"".join(requestPacket(s, b"later:" + s) for s in (ONE, TWO, THREE)))
        client.protocol.pauseProducing()
        self.fulfil(ONE, b"1")
        self.assertFalse(client.transport.isReading)
        self.assertEqual(len(self.handler.requests), 2)
        client.protocol.resumeProducing()
        self.assertEqual(len(self.handler.requests), 3)
        self.assertTrue(client.transport.isReading)
