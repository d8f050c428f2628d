"""
Tests for L{msgserver.testing.MemoryServer}: where connections break, and that requests are
answered once nevertheless.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from msgserver.testing import MemoryServer
from msgserver.testing.server import RETRY
from msgserver.wire.framing import packet
from tests.servers import ServerCase, Teller

HANDSHAKE = len(packet(b"200 OK"))
ANSWER = len(packet(b"1" + b"\x01" + b"\x00\x00\x00\x01"))


class CutTests(ServerCase):
    """Connections that break."""

    def setUp(self) -> None:
        super().setUp()
        self.lives: list[str] = []
        self.alice.on("away", lambda: self.lives.append("away"))
        self.alice.on("back", lambda: self.lives.append("back"))

    def assertAnswered(self, *answers: Deferred[bytes]) -> None:
        """See each request answered, and run once."""
        given = [self.server.result(answer) for answer in answers]
        self.assertEqual(given, [b"%d" % (number + 1) for number in range(len(answers))])
        self.assertEqual(len(self.handler.requests), len(answers))
        self.assertEqual(self.lives, ["away", "back"])
        self.assertEqual(self.clock.seconds(), 0.0)

    def test_cut(self) -> None:
        """It breaks at once, and is back when bytes flow, at the same moment."""
        self.server.cut(self.alice)
        self.assertFalse(self.alice.isConnected)
        self.assertEqual(self.handler.happened[-1], ("disconnected", b"alice"))
        self.assertEqual(self.lives, ["away"])
        self.server.settle()
        self.assertTrue(self.alice.isConnected)
        self.assertAnswered(self.alice.request(b""))

    def test_lost(self) -> None:
        """What was sent and not delivered is lost, and asked again (S6)."""
        answer = self.alice.request(b"")
        self.server.cut(self.alice)
        self.assertEqual(self.handler.requests, [])
        self.assertAnswered(answer)

    def test_whileRunning(self) -> None:
        """A request that runs while the connection breaks is answered on the next one (S6)."""
        answer = self.alice.request(b"later 1")
        self.server.settle()
        self.server.cut(self.alice)
        self.assertEqual(self.server.result(answer), b"late")
        self.assertEqual(self.handler.requests, [b"later 1"])

    def test_cutBeforeAnswer(self) -> None:
        """The request has run, and its answer is lost; then the kept one arrives (S6)."""
        self.server.cutBeforeAnswer(self.alice)
        self.assertAnswered(self.alice.request(b""))

    def test_cutBeforeLateAnswer(self) -> None:
        """It breaks when the answer would arrive, and not before."""
        self.server.cutBeforeAnswer(self.alice)
        late = self.alice.request(b"later 2")
        self.server.advance(1.9)
        self.assertEqual(self.lives, [])
        self.server.advance(0.2)
        self.assertEqual(self.lives, ["away", "back"])
        self.assertEqual(self.successResultOf(late), b"late")

    def test_cutBeforeThird(self) -> None:
        """It may be another answer than the next; those before it arrive."""
        self.server.cutBeforeAnswer(self.alice, 3)
        order: list[tuple[int, list[str]]] = []
        answers = [self.alice.request(b"") for _ in range(4)]
        for number, answer in enumerate(answers):
            answer.addCallback(self.note, order, number)
        self.assertAnswered(*answers)
        self.assertEqual([lives for _, lives in order], [[], [], *[["away", "back"]] * 2])

    def note(self, answer: bytes, order: list[tuple[int, list[str]]], number: int) -> bytes:
        """Write down what had happened when an answer came."""
        order.append((number, [*self.lives]))
        return answer

    def test_answers(self) -> None:
        """It breaks when so many answers have arrived."""
        self.server.cutAfter(self.alice, answers=2)
        order: list[tuple[int, list[str]]] = []
        answers = [self.alice.request(b"") for _ in range(3)]
        for number, answer in enumerate(answers):
            answer.addCallback(self.note, order, number)
        self.assertAnswered(*answers)
        self.assertEqual([lives for _, lives in order], [[], [], ["away", "back"]])

    def test_answersOverConnections(self) -> None:
        """Answers count over connections, and a handshake's verdict is none."""
        self.server.cutAfter(self.alice, answers=2)
        self.server.result(self.alice.request(b""))
        self.server.cut(self.alice)
        self.server.settle()
        self.assertEqual(self.lives, ["away", "back"])
        self.server.result(self.alice.request(b""))
        self.server.settle()
        self.assertEqual(self.lives, ["away", "back"] * 2)

    def test_sentBytes(self) -> None:
        """A part of a request does not run, and it breaks when all have arrived that were to."""
        # Two bytes of length, one of content, four of session.
        for count, ran in ((0, []), (1, []), (6, []), (7, [b"x"])):
            handler = Teller()
            with MemoryServer(handler) as server:
                alice = server.client(b"alice")
                server.cutAfter(alice, sentBytes=count)
                answer = alice.request(b"x")
                seen: list[list[bytes]] = []
                alice.on("away", partial(self.look, handler, seen))
                self.assertEqual(server.result(answer), b"1")
                self.assertEqual(seen[0], ran, count)

    def look(self, handler: Teller, seen: list[list[bytes]]) -> None:
        """Write down which requests have run by now."""
        seen.append([*handler.requests])

    def test_receivedBytes(self) -> None:
        """A part of an answer is none; with its last byte it is one."""
        for count, isThere in ((0, False), (1, False), (ANSWER - 1, False), (ANSWER, True)):
            with MemoryServer(Teller()) as server:
                alice = server.client(b"alice")
                server.cutAfter(alice, receivedBytes=count)
                answer = alice.request(b"")
                seen: list[bool] = []
                alice.on("away", partial(self.lookAt, answer, seen))
                self.assertEqual(server.result(answer), b"1")
                server.settle()
                self.assertEqual(seen[0], isThere, count)
                self.assertEqual(len(server.handler.requests), 1)

    def lookAt(self, answer: Deferred[bytes], seen: list[bool]) -> None:
        """Write down whether an answer is there by now."""
        seen.append(bool(answer.called))

    def test_inHandshake(self) -> None:
        """A handshake may break as well, more than once; the next is made at once."""
        self.server.cut(self.alice)
        self.server.cutAfter(self.alice, receivedBytes=HANDSHAKE - 1)
        self.server.settle()
        self.assertTrue(self.alice.isConnected)
        self.assertEqual([what for what, _ in self.handler.happened].count("disconnected"), 2)

    def test_neverConnects(self) -> None:
        """Where each attempt fails, attempts take time, and settling ends."""
        everywhere = self.patch(self.server.network, "placeToCut", lambda *delivery: 0)
        self.server.cut(self.alice)
        self.server.settle()
        self.assertFalse(self.alice.isConnected)
        everywhere.restore()
        self.server.settle()
        self.assertFalse(self.alice.isConnected)
        self.server.advance(RETRY)
        self.assertTrue(self.alice.isConnected)

    def test_once(self) -> None:
        """It breaks once; what is asked for last is what holds."""
        self.server.cutAfter(self.alice, answers=1)
        self.server.cutBeforeAnswer(self.alice)
        self.assertAnswered(self.alice.request(b""), self.alice.request(b""))

    def test_others(self) -> None:
        """Nobody else's connection breaks."""
        bob = self.server.client(b"bob")
        self.server.cutBeforeAnswer(self.alice)
        self.server.cut(self.alice)
        self.assertEqual(self.server.result(bob.request(b"")), b"1")
        self.server.offline(self.alice)
        self.assertTrue(bob.isConnected)

    def test_offline(self) -> None:
        """Who is offline has no connection, and comes back at the moment of being online."""
        self.server.offline(self.alice)
        answer = self.alice.request(b"")
        self.server.advance(100)
        self.assertNoResult(answer)
        self.assertFalse(self.alice.isConnected)
        self.server.online(self.alice)
        self.server.settle()
        self.assertEqual(self.successResultOf(answer), b"1")
        self.assertEqual(len(self.server.users()), 1)

    def test_closedOffline(self) -> None:
        """A client may be closed while it is offline; no timer is left."""
        self.server.offline(self.alice)
        self.server.settle()
        self.server.result(self.alice.close())
        self.server.online(self.alice)
        self.server.result(self.server.logout(b"alice"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_notOne(self) -> None:
        """One place must be given, and no more; and a client must be this server's."""
        self.assertRaises(TypeError, self.server.cutAfter, self.alice)
        self.assertRaises(TypeError, self.server.cutAfter, self.alice, answers=1, sentBytes=1)
        with MemoryServer(Teller()) as other:
            error = self.assertRaises(ValueError, other.cut, self.alice)
            self.assertIn("none of this server's", str(error))

    def test_stopped(self) -> None:
        """Servers that have stopped take no connections."""
        self.server.stop()
        client = self.server.client(b"bob")
        connected = client.whenConnected(1)
        self.assertRaises(ConnectionRefusedError, self.server.result, connected)
        self.server.result(client.close())
