"""
Tests for L{msgserver.client}: what becomes of requests when connections and logins end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.client import RETRY_POLICY, MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.errors import (
    BadRequest,
    ClientClosed,
    Forbidden,
    IndexExpired,
    InvalidState,
    NotAcceptable,
    OutcomeUnknown,
    ProtocolError,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.naming import User
from tests.peers import (
    FIRST,
    ONE,
    SECOND,
    SECRET,
    THREE,
    TWO,
    GatePeer,
    MsgClientTestCase,
    Network,
)


class ReconnectionTests(MsgClientTestCase):
    """Requests over several connections of one login."""

    def test_askedAgain(self) -> None:
        """S6: after a loss the same requests are asked, under the same sessions, first."""
        gate = self.connected()
        answers = [self.client.request(b"%d" % number) for number in range(3)]
        gate.answer(TWO, b"one")
        gate.lose(ConnectionLost())
        late = self.client.request(b"late")
        gate = self.connected()
        self.assertEqual(
            gate.requests(), [(ONE, b"0"), (THREE, b"2"), (b"\x00\x00\x00\x04", b"late")]
        )
        gate.answer(THREE, b"two")
        gate.answer(ONE, b"zero")
        gate.answer(b"\x00\x00\x00\x04", b"late")
        self.assertEqual(
            [self.successResultOf(answer) for answer in [*answers, late]],
            [b"zero", b"one", b"two", b"late"],
        )

    def test_indexGrows(self) -> None:
        """H: each connection has the next index, whatever became of the last."""
        self.assertEqual(self.connect().handshake().index, 1)
        self.gate().lose()
        self.assertEqual(self.connect().handshake().index, 2)
        self.gate().lose()
        self.connect().refuse(IndexExpired())
        self.assertEqual(self.connect().handshake().text, b"YWxpY2U=@c2FtcGxl#MQ==:4")

    def test_halfAResponse(self) -> None:
        """A response cut in the middle is none; the next connection's begins anew."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        gate.say(b"\x00\x07h")
        gate.lose()
        gate = self.connected()
        gate.say(b"\x00\x07hi\x01\x00\x00\x00\x01")
        self.assertEqual(self.successResultOf(answer), b"hi")

    def test_dropConnection(self) -> None:
        """A connection that is cut by hand is as any that is lost."""
        gate = self.connected()
        self.client.request(b"hello")
        self.client.dropConnection()
        self.assertTrue(gate.isClosing)
        gate.lose()
        self.client.dropConnection()
        self.assertEqual(self.connected().requests(), [(ONE, b"hello")])

    def test_indexExpired(self) -> None:
        """H1: 403 is answered with the next index; login and requests stay."""
        gate = self.connected()
        self.client.request(b"hello")
        gate.lose()
        self.connect().refuse(IndexExpired())
        gate = self.connect()
        gate.accept()
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        self.assertEqual(len(self.logins), 1)

    def test_backOff(self) -> None:
        """Failed attempts are counted, of whatever kind; an accepted one starts anew."""
        self.network.failure = ConnectionRefusedError()
        self.clock.pump([0.0, 1.0, 0.0])
        self.network.failure = None
        self.connect().refuse(IndexExpired())
        self.connect().lose()
        self.connect().say(b"\x00\x03SSH")
        self.assertEqual(self.retries, [1, 2, 3, 4, 5])
        self.connected().lose()
        self.assertEqual(self.retries, [1, 2, 3, 4, 5, 1])

    def test_noAnswerToTheHandshake(self) -> None:
        """A gate that says nothing for 10 seconds is left, and tried again."""
        silent = self.connect()
        self.clock.advance(9.9)
        self.assertFalse(silent.isClosing)
        self.clock.advance(0.2)
        self.assertTrue(silent.isClosing)
        silent.lose()
        self.connected()

    def test_whenConnected(self) -> None:
        """One waits for C{200 OK}, not for the connection alone; later ones do not wait."""
        waiting = self.client.whenConnected()
        gate = self.connect()
        self.assertNoResult(waiting)
        gate.accept()
        later = self.client.whenConnected()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertIsNone(self.successResultOf(later))

    def test_failAfterFailures(self) -> None:
        """One may be told that it does not work, while the client goes on."""
        waiting = self.client.whenConnected(failAfterFailures=1)
        self.network.failure = ConnectionRefusedError()
        self.clock.pump([0, 0])
        self.failureResultOf(waiting, ConnectionRefusedError)
        self.network.failure = None
        self.connected()

    def test_retryPolicy(self) -> None:
        """The waits grow from a fraction of a second to half a minute, and each is different."""
        for attempt, seconds in ((1, 0.2), (2, 0.4), (3, 0.8), (9, 30.0), (1000, 30.0)):
            waits = {RETRY_POLICY(attempt) for _ in range(8)}
            self.assertGreater(len(waits), 1)
            self.assertTrue(all(seconds <= wait <= seconds + 1 for wait in waits))


class NewLoginTests(MsgClientTestCase):
    """What becomes of requests, and of the client, when the login ends."""

    def test_loginIsGone(self) -> None:
        """U5: 404 and 401 have the next login taken; only what was never sent goes with it."""
        for refusal in (UserNotFound(), Unauthorized()):
            self.setUp()
            gate = self.connected()
            sent = self.client.request(b"sent")
            gate.lose()
            waits = self.client.request(b"waits")
            self.connect().refuse(refusal)
            self.failureResultOf(sent, OutcomeUnknown)
            self.assertNoResult(waits)
            gate = self.connect()
            self.assertEqual(gate.handshake().text, b"YWxpY2U=@c2FtcGxl#Mg==:1")

    def test_waitsGoesToTheNextLogin(self) -> None:
        """U5: under the new login the sessions start anew, and the answer arrives."""
        self.connect().refuse(UserNotFound())
        waits = self.client.request(b"waits")
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"waits")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(waits), b"hi")

    def test_loginFailsForNow(self) -> None:
        """What may be different next time is tried again, with back-off."""
        errors: list[Exception] = [
            Forbidden(),
            NotAcceptable(),
            ProtocolError(),
            ConnectionRefusedError(),
            TimeoutError(),
        ]
        self.logins[:0] = [partial(fail, error) for error in errors]
        answer = self.client.request(b"hello")
        self.clock.pump([0.0] + [1.0, 0.0] * 4)
        self.assertEqual(self.retries, [1, 2, 3, 4, 5])
        self.assertNoResult(answer)
        self.assertEqual(self.connected().requests(), [(ONE, b"hello")])

    def test_loginIsUnauthorized(self) -> None:
        """A token that proves nothing proves nothing next time: the client ends."""
        self.logins.insert(0, lambda: fail(Unauthorized()))
        self.assertEnds(Unauthorized)

    def test_badRequest(self) -> None:
        """H: 400 is a bug, here or there, and no index mends it: the client ends."""
        self.clock.advance(0)
        self.assertEnds(BadRequest, lambda: self.gate().refuse(BadRequest()))

    def assertEnds(
        self, error: type[Exception], cause: Callable[[], object] = lambda: None
    ) -> None:
        """What is asked before and after fails, and nothing is left."""
        waiting = [self.client.request(b"hello"), self.client.whenConnected()]
        cause()
        self.clock.pump([0, 0, 0])
        late = [self.client.request(b""), self.client.whenConnected()]
        self.clock.advance(0)
        for result in waiting + late:
            self.failureResultOf(result, error)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        closed = self.client.close()
        self.clock.advance(0)
        self.successResultOf(closed)
        self.failureResultOf(self.client.request(b""), error)

    def test_badRequestLater(self) -> None:
        """U5: where the client ends, what was sent may have run."""
        gate = self.connected()
        sent = self.client.request(b"sent")
        gate.lose()
        waits = self.client.request(b"waits")
        self.connect().refuse(BadRequest())
        self.failureResultOf(sent, OutcomeUnknown)
        self.failureResultOf(waits, BadRequest)

    def test_failureCancelsAnother(self) -> None:
        """Who hears of one failure may cancel the other requests, or close the client."""
        gate = self.connected()
        first, second, third = [self.client.request(b"") for _ in range(3)]
        first.addErrback(lambda failure: second.cancel())
        second.addErrback(lambda failure: self.client.close())
        gate.lose()
        self.connect().refuse(UserNotFound())
        self.clock.advance(0)
        self.successResultOf(first)
        self.assertIsNone(self.successResultOf(second))
        self.failureResultOf(third, OutcomeUnknown)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AddressTests(SynchronousTestCase):
    """Where the client connects to."""

    def test_addressOfTheLogin(self) -> None:
        """L5: what the login says goes before what the client was given."""
        reactor = MemoryReactorClock()
        network = Network(GatePeer)
        loggedIn = LoggedIn(FIRST.user, SECRET, "127.0.0.1:8888")
        MsgClient(reactor, lambda: succeed(loggedIn), network)
        reactor.advance(0)
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 8888))
        self.assertEqual(network.peers, [])

    def test_connectTo(self) -> None:
        """L5: how to connect there is the caller's to say, as with TLS."""
        network = Network(GatePeer)
        asked: list[tuple[str, int]] = []

        def connectTo(host: str, port: int) -> Network[GatePeer]:
            asked.append((host, port))
            return network

        loggedIn = LoggedIn(FIRST.user, SECRET, "[2001:db8::1]:8888")
        clock = Clock()
        MsgClient(clock, lambda: succeed(loggedIn), connectTo=connectTo)
        clock.advance(0)
        self.assertEqual(asked, [("2001:db8::1", 8888)])
        self.assertEqual(len(network.peers), 1)

    def test_anotherGate(self) -> None:
        """L5: where a gate has died, the next login says which gate to go to instead."""
        reactor = MemoryReactorClock()
        logins = [
            LoggedIn(FIRST.user, SECRET, "127.0.0.1:8888"),
            LoggedIn(SECOND.user, SECRET, "127.0.0.1:9999"),
        ]
        client = MsgClient(
            reactor, lambda: succeed(logins.pop(0)), retryPolicy=lambda failures: 1.0
        )
        reactor.advance(0)
        sent = client.request(b"sent")
        gate = self.reach(reactor)
        gate.accept()
        gate.lose()
        unsent = client.request(b"unsent")
        for _ in range(3):
            reactor.pump([1.0, 0.0])
            self.assertNoResult(sent)
            self.assertEqual(reactor.tcpClients[-1][:2], ("127.0.0.1", 8888))
            factory, connector = reactor.tcpClients[-1][2], reactor.connectors[-1]
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            # The endpoint looks in a moment whether there is one more address to try.
            reactor.advance(0.3)
        self.failureResultOf(sent, OutcomeUnknown)
        self.assertEqual(reactor.tcpClients[-1][:2], ("127.0.0.1", 9999))
        gate = self.reach(reactor)
        gate.accept()
        self.assertEqual(gate.requests(), [(ONE, b"unsent")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(unsent), b"hi")

    def reach(self, reactor: MemoryReactorClock) -> GatePeer:
        """Let the newest connection be made."""
        protocol = reactor.tcpClients[-1][2].buildProtocol(IPv4Address("TCP", "127.0.0.1", 8888))
        assert protocol is not None
        return GatePeer(protocol)

    def test_noAddressAtAll(self) -> None:
        """Where nobody says where the gate is, whoever waits is told so."""
        clock = Clock()
        client = MsgClient(clock, lambda: succeed(FIRST))
        waiting = client.whenConnected(failAfterFailures=1)
        clock.pump([0, 0])
        self.failureResultOf(waiting, InvalidState)

    def test_addressGotLost(self) -> None:
        """L5: where the connection broke between the two lines, another login is taken."""
        reactor = MemoryReactorClock()
        logins = [FIRST, LoggedIn(SECOND.user, SECRET, "127.0.0.1:9999")]
        client = MsgClient(
            reactor, lambda: succeed(logins.pop(0)), retryPolicy=lambda failures: 1.0
        )
        answer = client.request(b"hello")
        reactor.advance(0)
        self.assertEqual(reactor.tcpClients, [])
        self.assertNoResult(answer)
        reactor.pump([1.0, 0.0])
        self.assertEqual(reactor.tcpClients[-1][:2], ("127.0.0.1", 9999))


class OutOfReachTests(MsgClientTestCase):
    """When the gate's silence has a new login taken, and when the login is kept."""

    def setUp(self) -> None:
        """Have logins tell where the gate is."""
        super().setUp()
        self.client._connectTo = lambda host, port: self.network
        self.logins = [
            lambda: succeed(evolve(FIRST, address="one.example.org:8888")),
            lambda: succeed(evolve(SECOND, address="two.example.org:8888")),
        ]

    def test_noAddress(self) -> None:
        """Where there is one gate alone, another login would gain nothing."""
        self.logins[0] = lambda: succeed(FIRST)
        sent = self.sent()
        for _ in range(10):
            self.connect().lose()
        self.assertEqual(len(self.logins), 1)
        self.assertKept(sent, 12)

    def attempts(self, number: int) -> None:
        """Let so many attempts begin, in their turns."""
        self.clock.pump([1.0, 0.0] * number)

    def sent(self) -> Deferred[bytes]:
        """Ask something under the first login, and lose its gate."""
        gate = self.connected()
        answer = self.client.request(b"sent")
        self.assertEqual(gate.requests(), [(ONE, b"sent")])
        gate.lose()
        return answer

    def goDown(self) -> None:
        """Have nothing to connect to."""
        self.network.failure = ConnectionRefusedError()

    def comeBack(self) -> None:
        """Let connections be made again."""
        self.network.failure = None

    def assertKept(self, sent: Deferred[bytes], index: int) -> None:
        """The login is the first one, and what was sent is asked again, once."""
        self.assertNoResult(sent)
        gate = self.connect()
        self.assertEqual(gate.handshake().text, b"YWxpY2U=@c2FtcGxl#MQ==:%d" % index)
        gate.say(b"\x00\x06200 OK")
        self.assertEqual(gate.requests(), [(ONE, b"sent")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(sent), b"hi")

    def assertGivenUp(self, sent: Deferred[bytes]) -> None:
        """What was sent has an unknown outcome, and its caller is told why."""
        failure = self.failureResultOf(sent, OutcomeUnknown)
        self.assertEqual(failure.getErrorMessage(), "the gate could not be reached")

    def test_newLogin(self) -> None:
        """The third attempt takes a new login and connects with it; U5 for what was sent."""
        sent = self.sent()
        self.connect().lose()
        self.connect().lose(ConnectionLost())
        waits = self.client.request(b"waits")
        gate = self.connect()
        self.assertEqual(gate.handshake().text, b"YWxpY2U=@c2FtcGxl#MQ==:4")
        self.assertNoResult(sent)
        gate.lose()
        self.assertGivenUp(sent)
        gate = self.gate()
        self.assertEqual(gate.handshake().text, b"YWxpY2U=@c2FtcGxl#Mg==:1")
        gate.say(b"\x00\x06200 OK")
        self.assertEqual(gate.requests(), [(ONE, b"waits")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(waits), b"hi")

    def test_noVerdict(self) -> None:
        """A handshake without an answer counts, and so does an answer that is no gate's."""
        sent = self.sent()
        for _ in range(2):
            silent = self.connect()
            self.clock.advance(10.1)
            silent.lose()
        self.connect().say(b"\x00\x03SSH")
        self.assertGivenUp(sent)
        self.assertEqual(self.logins, [])

    def test_fewer(self) -> None:
        """Two attempts in vain are no reason to give up a login."""
        sent = self.sent()
        self.goDown()
        self.attempts(2)
        self.comeBack()
        self.assertKept(sent, index=4)
        self.assertEqual(len(self.logins), 1)

    def test_verdictBetween(self) -> None:
        """A gate that is heard of, be it by a no, is in reach: only attempts in a row count."""
        sent = self.sent()
        self.goDown()
        self.attempts(2)
        self.comeBack()
        self.connect().refuse(IndexExpired())
        self.connect().lose()
        self.connect().lose()
        self.assertKept(sent, index=7)
        self.gate().lose()
        self.goDown()
        self.attempts(2)
        self.assertEqual(len(self.logins), 1)
        self.attempts(1)
        self.assertEqual(len(self.logins), 0)

    def test_networkIsDown(self) -> None:
        """While the login server is out of reach as well the login is kept, for ever."""
        sent = self.sent()
        waits = self.client.request(b"waits")
        asked: list[str] = []

        def takeLogin() -> Deferred[LoggedIn]:
            asked.append("login")
            return fail(ConnectionRefusedError())

        self.logins[:] = [takeLogin] * 1000
        self.goDown()
        self.attempts(100)
        self.assertEqual(len(asked), 98)
        self.comeBack()
        self.assertNoResult(sent)
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"sent"), (TWO, b"waits")])
        gate.answer(ONE, b"one")
        gate.answer(TWO, b"two")
        self.assertEqual(self.successResultOf(sent), b"one")
        self.assertEqual(self.successResultOf(waits), b"two")
        self.assertEqual(len(asked), 98)

    def test_noNewLogin(self) -> None:
        """A login server that says no for now changes nothing; each attempt asks once."""
        errors: list[Exception] = [Forbidden(), NotAcceptable(), ProtocolError(), TimeoutError()]
        sent = self.sent()
        self.logins[:0] = [partial(fail, error) for error in errors]
        self.goDown()
        self.attempts(2 + len(errors))
        self.assertEqual(len(self.logins), 1)
        self.assertEqual(self.retries, [1, 2, 3, 4, 5, 6, 7])
        self.comeBack()
        self.assertKept(sent, index=8)

    def test_failure(self) -> None:
        """Whoever waits for a connection is told what the login server said last."""
        self.logins[1:] = [lambda: fail(Forbidden())]
        self.goDown()
        waiting = self.client.whenConnected(failAfterFailures=3)
        self.attempts(3)
        self.failureResultOf(waiting, Forbidden)

    def test_unauthorized(self) -> None:
        """A token that proves nothing any more ends the client, as at any login."""
        sent = self.sent()
        waits = self.client.request(b"waits")
        self.logins[:] = [lambda: fail(Unauthorized())]
        self.goDown()
        self.attempts(3)
        self.failureResultOf(sent, OutcomeUnknown)
        self.failureResultOf(waits, Unauthorized)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newGateIsDeadToo(self) -> None:
        """With the new login the count starts anew; an attempt takes one login at most."""
        third = LoggedIn(User(b"alice", b"3", b"sample"), SECRET)
        self.logins.append(lambda: succeed(third))
        self.goDown()
        left = []
        for _ in range(5):
            self.attempts(1)
            left.append(len(self.logins))
        # The third attempt is the second login's first.
        self.assertEqual(left, [2, 2, 1, 1, 0])

    def test_loginAfter(self) -> None:
        """How many attempts it takes is the caller's to say."""
        for loginAfter in (1, 5):
            self.setUp()
            self.client.close()
            takeLogin = partial(lambda logins: logins.pop(0)(), self.logins)
            self.client = MsgClient(
                self.clock,
                takeLogin,
                retryPolicy=self.retry,
                loginAfter=loginAfter,
                connectTo=lambda host, port: self.network,
            )
            sent = self.sent()
            self.goDown()
            self.attempts(loginAfter - 1)
            self.assertNoResult(sent)
            self.attempts(1)
            self.assertGivenUp(sent)

    def test_asksAnew(self) -> None:
        """Who hears that the outcome is unknown may ask again, of the new login."""
        again = self.sent().addErrback(lambda _: self.client.request(b"again"))
        self.goDown()
        self.attempts(3)
        self.comeBack()
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"again")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(again), b"hi")

    def test_closes(self) -> None:
        """Who hears that the outcome is unknown may close the client: no connection follows."""
        closed = self.sent().addErrback(lambda _: self.client.close())
        waiting = self.client.whenConnected(failAfterFailures=3)
        for _ in range(3):
            self.connect().lose()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(closed))
        self.failureResultOf(waiting, ClientClosed)
        self.assertEqual(len(self.network.peers), 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closedBetween(self) -> None:
        """A client that is closed while it connects takes no new login."""
        sent = self.sent()
        self.connect().lose()
        self.connect().lose()
        gate = self.connect()
        closed = self.client.close()
        self.clock.advance(0)
        self.assertTrue(gate.isClosing)
        gate.lose()
        self.successResultOf(closed)
        self.failureResultOf(sent, OutcomeUnknown)
        self.assertEqual(len(self.logins), 1)

    def test_loginIsClosed(self) -> None:
        """A client that is closed while it takes a new login lets go of it."""
        cancelled: list[object] = []
        sent = self.sent()
        self.logins[:] = [lambda: Deferred(cancelled.append)]
        self.goDown()
        self.attempts(3)
        self.assertNoResult(sent)
        closed = self.client.close()
        self.clock.advance(0)
        self.successResultOf(closed)
        self.assertEqual(len(cancelled), 1)
        self.failureResultOf(sent, OutcomeUnknown)


class CloseTests(MsgClientTestCase):
    """What is left of a client that was closed: nothing, whenever it was."""

    def close(self) -> Deferred[None]:
        """Close the client; it takes a turn of the reactor to begin."""
        closed = self.client.close()
        self.assertNoResult(closed)
        self.clock.advance(0)
        return closed

    def assertNothingLeft(self) -> None:
        """No timer waits, and requests fail."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.client.request(b""), ClientClosed)
        self.failureResultOf(self.client.whenConnected(), ClientClosed)

    def test_connected(self) -> None:
        """The connection is closed, and awaited; what was sent has an unknown outcome."""
        gate = self.connected()
        sent = self.client.request(b"hello")
        closed = self.close()
        self.failureResultOf(sent, OutcomeUnknown)
        self.assertTrue(gate.isClosing)
        self.assertNoResult(closed)
        gate.answer(ONE, b"late")
        gate.lose()
        self.successResultOf(closed)
        self.assertNothingLeft()

    def test_beforeTheFirstTurn(self) -> None:
        """What was never sent fails as a connection that was closed does; nobody logs in."""
        waits, connected = self.client.request(b"hello"), self.client.whenConnected()
        closed = self.client.close()
        self.failureResultOf(waits, ClientClosed)
        self.clock.pump([0, 0])
        self.failureResultOf(connected, ClientClosed)
        self.successResultOf(closed)
        self.assertNothingLeft()
        self.assertEqual(len(self.logins), 2)

    def test_loggingIn(self) -> None:
        """A login under way is cancelled."""
        cancelled: list[object] = []
        self.logins.insert(0, lambda: Deferred(cancelled.append))
        self.clock.advance(0)
        self.successResultOf(self.close())
        self.assertEqual(len(cancelled), 1)
        self.assertNothingLeft()

    def test_loggingInAllTheSame(self) -> None:
        """A login that comes although it was cancelled leads to no connection."""
        self.logins.insert(0, lambda: Deferred(lambda login: login.callback(FIRST)))
        self.clock.advance(0)
        self.successResultOf(self.close())
        self.assertEqual(self.network.peers, [])
        self.assertNothingLeft()

    def test_shakingHands(self) -> None:
        """A connection without a verdict is cut."""
        gate = self.connect()
        self.successResultOf(self.close())
        self.assertTrue(gate.isClosing)
        gate.lose()
        self.assertNothingLeft()

    def test_verdictMeanwhile(self) -> None:
        """A connection that is accepted in the last moment is closed."""
        gate = self.connect()
        waits = self.client.request(b"hello")
        closed = self.client.close()
        gate.accept()
        self.clock.advance(0)
        self.assertTrue(gate.isClosing)
        self.assertEqual(gate.requests(), [])
        gate.lose()
        self.failureResultOf(waits, ClientClosed)
        self.successResultOf(closed)
        self.assertNothingLeft()

    def test_waiting(self) -> None:
        """The wait for the next attempt is over."""
        gate = self.connected()
        sent = self.client.request(b"hello")
        gate.lose()
        self.successResultOf(self.close())
        self.failureResultOf(sent, OutcomeUnknown)
        self.assertNothingLeft()

    def test_again(self) -> None:
        """Closing may follow on an answer, and on closing."""
        gate = self.connected()
        closed = self.client.request(b"hello")
        closed.addCallback(lambda _: self.client.close())
        closed.addCallback(lambda _: self.client.close())
        gate.answer(ONE, b"hi")
        again = self.close()
        gate.lose()
        self.clock.advance(0)
        self.successResultOf(closed)
        self.successResultOf(again)
        self.assertNothingLeft()

    def test_onceConnected(self) -> None:
        """Who hears of a connection may close the client then and there."""
        closed = self.client.whenConnected().addCallback(lambda _: self.client.close())
        gate = self.connected()
        self.clock.pump([0, 0])
        gate.lose()
        self.successResultOf(closed)
        self.assertNothingLeft()

    def test_onceItDoesNotConnect(self) -> None:
        """Who hears of a failure may wait on, or close the client."""
        self.network.failure = ConnectionRefusedError()
        closed = self.client.whenConnected(failAfterFailures=1)
        closed.addErrback(lambda _: self.client.whenConnected(failAfterFailures=1))
        closed.addErrback(lambda _: self.client.close())
        self.clock.pump([0, 0, 1, 0, 0, 0])
        self.successResultOf(closed)
        self.assertEqual(self.retries, [1, 2])
        self.assertNothingLeft()
