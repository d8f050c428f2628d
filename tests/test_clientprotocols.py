"""
Tests for L{msgserver.clientprotocols}, behind L{login} and L{MsgClient}: one connection each.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.client import login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import (
    Forbidden,
    NotAcceptable,
    ProtocolError,
    Refused,
    RequestFailed,
    Unauthorized,
)
from msgserver.interfaces import Account
from msgserver.wire.classic import ClassicSuite
from tests.peers import FIRST, ONE, SECRET, TWO, MsgClientTestCase, Network, Peer

ALICE = Account(server=b"sample", uid=b"alice")


@implementer(IStreamClientEndpoint)
class NowhereEndpoint:
    """Never connects, and fails as TCP endpoints do when that is cancelled."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Begin to connect."""
        return Deferred(lambda it: it.errback(ConnectingCancelledError(None)))


class LoginTests(SynchronousTestCase):
    """L{login} against the original's words, as they were recorded."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(Peer)
        self.result: Deferred[LoggedIn] = login(
            self.network,
            ALICE,
            b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ=",
            suite=ClassicSuite(),
            clock=self.clock,
            randomBytes=lambda size: bytes.fromhex("1122334455667701"),
        )
        self.server = self.network.peers[0]

    def sayUntilVerdict(self) -> None:
        """Say what the server says before its status."""
        self.server.say(b"PthkgmECdEI=\n")
        self.server.say(b"utuPRuM1FMU=\n")

    def assertOver(self) -> None:
        """Nothing is left: the connection closes and no timer waits."""
        self.assertTrue(self.server.isClosing)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_conversation(self) -> None:
        """L: the client's lines are those of the recording, each when it is due."""
        self.assertEqual(self.server.heard(), b"")
        self.server.say(b"PthkgmECdEI=\n")
        self.assertEqual(self.server.heard(), b"286bRmPbq5I=\n")
        self.server.say(b"utuPRuM1FMU=\n")
        self.assertEqual(
            self.server.heard(),
            b"7kuvix3Kmiw=\nRUADUZvMzw8SPfJvNszpfjKKbwyAyQwG+64aJlF6USA=\n",
        )

    def test_serverCloses(self) -> None:
        """L, step 6: a server that says 200 and closes has admitted us at once."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.assertNoResult(self.result)
        self.server.lose()
        self.assertEqual(self.successResultOf(self.result), FIRST)
        self.assertOver()

    def test_originalNeverCloses(self) -> None:
        """L, step 6: of one that says 200 and does not close, we stop to wait, and close."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.clock.advance(0.499)
        self.assertNoResult(self.result)
        self.clock.advance(0.002)
        self.assertEqual(self.successResultOf(self.result), FIRST)
        self.assertOver()
        self.server.lose()

    def test_address(self) -> None:
        """L5: the gate's address is in a second line, in the same segment or later."""
        self.sayUntilVerdict()
        for piece in (b"200 MQ==\n210 Z2F0", b"ZTo4", b"ODg4\n"):
            self.server.say(piece)
            self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(self.result).address, "gate:8888")
        self.assertOver()

    def test_nonsenseAddress(self) -> None:
        """L5: an address that nobody can connect to is no login."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n210 Z2F0ZQ==\n")
        self.failureResultOf(self.result, ProtocolError)
        self.assertOver()

    def test_refusals(self) -> None:
        """L: each status that says no is the failure of its name."""
        refusals: list[tuple[bytes, type[Refused]]] = [
            (b"401 Unauthorized\n", Unauthorized),
            (b"403 Forbidden\n", Forbidden),
            (b"406 Not Acceptable\n", NotAcceptable),
        ]
        for line, refusal in refusals:
            self.setUp()
            self.sayUntilVerdict()
            self.server.say(line)
            self.failureResultOf(self.result, refusal)
            self.assertOver()
            self.server.lose()

    def test_noLoginServer(self) -> None:
        """What does not speak the wire is told apart from what says no."""
        self.server.say(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.failureResultOf(self.result, ProtocolError)
        self.assertOver()

    def test_closedWithoutVerdict(self) -> None:
        """L1: a server that closes, as it does when the deadline has passed, said nothing."""
        self.sayUntilVerdict()
        self.server.lose()
        self.failureResultOf(self.result, ProtocolError)
        self.assertOver()

    def test_connectionBreaks(self) -> None:
        """A connection that is lost otherwise fails with how it was lost."""
        self.sayUntilVerdict()
        self.server.lose(ConnectionLost())
        self.failureResultOf(self.result, ConnectionLost)
        self.assertOver()

    def test_connectionBreaksAfterTheVerdict(self) -> None:
        """L, step 6: 200 is what counts, however the connection ends after it."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.server.lose(ConnectionLost())
        self.assertEqual(self.successResultOf(self.result), FIRST)
        self.assertOver()

    def test_timeOut(self) -> None:
        """L1: a server that never answers is given up after 10 seconds."""
        self.sayUntilVerdict()
        self.clock.advance(9.9)
        self.assertNoResult(self.result)
        self.clock.advance(0.2)
        self.failureResultOf(self.result, TimeoutError)
        self.assertOver()
        self.server.lose()

    def test_timeOutConnecting(self) -> None:
        """L1: the time-out is the same whatever a cancelled endpoint fails with."""
        result = login(NowhereEndpoint(), ALICE, b"", clock=self.clock, timeout=3.0)
        self.clock.advance(3.1)
        self.failureResultOf(result, TimeoutError)

    def test_cancel(self) -> None:
        """A login that is cancelled in its last moment leaves nothing."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.result.cancel()
        self.failureResultOf(self.result, CancelledError)
        self.assertOver()
        self.server.lose()

    def test_tokenStaysOutOfFailures(self) -> None:
        """L6: what goes wrong says nothing of the token and the secret."""
        self.sayUntilVerdict()
        self.server.say(b"401 Unauthorized\n")
        text = repr(self.failureResultOf(self.result)) + repr(FIRST)
        self.assertNotIn("cGFzc3dvcmQ=", text)
        self.assertNotIn(repr(SECRET), text)

    def test_globalReactor(self) -> None:
        """Where no clock is given, the time is the reactor's."""
        result = login(self.network, ALICE, b"")
        result.cancel()
        self.failureResultOf(result, CancelledError)


class RequestTests(MsgClientTestCase):
    """Requests on one connection."""

    def test_answer(self) -> None:
        """S: a request is answered by the response of its session."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        self.assertEqual(gate.heard(), b"\x00\x09hello\x00\x00\x00\x01")
        self.assertNoResult(answer)
        gate.say(b"\x00\x0ahello\x01\x00\x00\x00\x01")
        self.assertEqual(self.successResultOf(answer), b"hello")

    def test_sideBySide(self) -> None:
        """S1: requests do not wait for each other, and answers come in any order."""
        gate = self.connected()
        slow, quick = self.client.request(b"slow"), self.client.request(b"quick")
        self.assertEqual(gate.requests(), [(ONE, b"slow"), (TWO, b"quick")])
        gate.answer(TWO, b"q")
        self.assertEqual(self.successResultOf(quick), b"q")
        self.assertNoResult(slow)
        gate.answer(ONE, b"s")
        self.assertEqual(self.successResultOf(slow), b"s")

    def test_flagZero(self) -> None:
        """S4: flag 0 is a failure with the content that the handler gave."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        gate.say(b"\x00\x07no\x00\x00\x00\x00\x01")
        failure = self.failureResultOf(answer, RequestFailed)
        self.assertEqual(failure.value.content, b"no")

    def test_waitsForTheVerdict(self) -> None:
        """H: a request that is asked before C{200 OK} is sent after it, in order."""
        self.client.request(b"before the connection")
        gate = self.connect()
        self.client.request(b"before the verdict")
        gate.accept()
        self.assertEqual(
            gate.requests(), [(ONE, b"before the connection"), (TWO, b"before the verdict")]
        )

    def test_verdictAndResponseInOneSegment(self) -> None:
        """H2: what the gate says behind C{200 OK} is taken as it comes, byte by byte too."""
        answer = self.client.request(b"hello")
        gate = self.connect()
        for byte in b"\x00\x06200 OK\x00\x07hi\x01\x00\x00\x00\x01":
            gate.say(bytes([byte]))
        self.assertEqual(self.successResultOf(answer), b"hi")

    def test_tooLong(self) -> None:
        """S: 65,532 bytes are no request; they are refused at once and harm no other."""
        gate = self.connected()
        with self.assertRaises(ValueError):
            self.client.request(bytes(65_532))
        self.client.request(bytes(65_531))
        self.assertEqual(gate.requests(), [(ONE, bytes(65_531))])

    def test_roomForOneMore(self) -> None:
        """S7: an answer lets the next request go that had to wait for one."""
        gate = self.connected()
        answers = [self.client.request(b"%d" % number) for number in range(65)]
        self.assertEqual(len(gate.requests()), 64)
        gate.answer(TWO, b"")
        self.assertEqual(gate.requests(), [(b"\x00\x00\x00\x41", b"64")])
        self.assertNoResult(answers[64])

    def test_askedByAnAnswer(self) -> None:
        """A request may be asked from the answer to another."""
        gate = self.connected()
        chain = self.client.request(b"1").addCallback(self.client.request)
        gate.answer(ONE, b"2")
        self.assertIn((TWO, b"2"), gate.requests())
        gate.answer(TWO, b"3")
        self.assertEqual(self.successResultOf(chain), b"3")

    def test_lateAnswer(self) -> None:
        """A response that nobody waits for, or that comes twice, harms nothing."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        gate.answer(b"\xff\xff\xff\xff", b"whose?")
        gate.answer(ONE, b"hi")
        gate.answer(ONE, b"hi again")
        self.assertEqual(self.successResultOf(answer), b"hi")
        self.assertFalse(gate.isClosing)

    def test_cancel(self) -> None:
        """S5: a cancelled request keeps its session, here and on the next connection."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.client.request(b"next")
        self.assertEqual(gate.requests(), [(ONE, b"hello"), (TWO, b"next")])
        gate.lose()
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"hello"), (TWO, b"next")])
        gate.answer(ONE, b"hi")
        gate.lose()
        self.assertEqual(self.connected().requests(), [(TWO, b"next")])

    def test_cancelBeforeSending(self) -> None:
        """What is cancelled before it was sent never is."""
        self.client.request(b"hello").addErrback(lambda failure: None).cancel()
        self.assertEqual(self.connected().requests(), [])

    def test_garbage(self) -> None:
        """A response that is none ends the connection, and the requests are asked again."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        gate.say(b"\x00\x00")
        self.assertTrue(gate.isClosing)
        gate.lose()
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(answer), b"hi")
