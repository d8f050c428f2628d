"""
Tests for the naive gate, which ours is compared to, and for the handlers of all gates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from bench.handlers import BURST, Bursts, Coroutine, Immediate, Late, PerUser, loginsOf
from bench.naive import KEPT, NaiveGate, NaiveProtocol
from bench.workloads import Workload, hellosOf
from msgserver.errors import RequestFailed
from msgserver.interfaces import IMsgGate, User
from msgserver.wire.framing import packet
from msgserver.wire.gate import ANSWERED, FAILED, GateClient, requestPacket, responsePacket

SESSION = b"0001"


class Gate:
    """Where a handler's logins go, in memory."""

    def __init__(self) -> None:
        self.logins: list[tuple[User, bytes]] = []

    def login(self, user: User, secret: bytes) -> None:
        """See L{IMsgGate.login}."""
        self.logins.append((user, secret))


class Turns:
    """A reactor whose turns are seen one by one, which those of a L{Clock} are not."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.clock = cast(IReactorTime, self)

    def callLater(self, delay: float, function: Callable[..., object], *given: object) -> None:
        """See L{IReactorTime.callLater}; the handlers use no other delay than 0."""
        self.calls.append(partial(function, *given))

    def next(self) -> None:
        """Run what is due now, and not what it makes due."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class HandlerTests(SynchronousTestCase):
    """The handlers that are measured."""

    user = User(b"u1", b"s", b"bench")

    def test_logins(self) -> None:
        """Each makes the logins whose handshakes the load has."""
        for handler in (Immediate(3), PerUser(3), Coroutine(3), Late(3, Clock())):
            gate = Gate()
            handler.gateOpened(cast(IMsgGate, gate))
            self.assertEqual(gate.logins, list(loginsOf(3)))
        self.assertEqual(len({secret for _, secret in loginsOf(5000)}), 5000)

    def test_atOnce(self) -> None:
        """Those that answer at once give the content back."""
        for handler in (Immediate(2), PerUser(2)):
            self.assertEqual(handler.requestReceived(self.user, b"hello"), b"hello")
        waits = ensureDeferred(Coroutine(2).requestReceived(self.user, b"hello"))
        self.assertEqual(self.successResultOf(waits), b"hello")

    def test_late(self) -> None:
        """A turn later is no earlier."""
        turns = Turns()
        answer = ensureDeferred(Late(2, turns.clock).requestReceived(self.user, b"hello"))
        self.assertNoResult(answer)
        turns.next()
        self.assertEqual(self.successResultOf(answer), b"hello")

    def test_bursts(self) -> None:
        """So many are answered in each turn, in order, and no request waits for further ones."""
        turns = Turns()
        handler = Bursts(2, turns.clock)
        answers = [
            ensureDeferred(handler.requestReceived(self.user, b"%d" % number))
            for number in range(2 * BURST + 1)
        ]
        for called in (0, BURST, 2 * BURST, 2 * BURST + 1):
            self.assertEqual([answer.called for answer in answers].count(True), called)
            turns.next()
        for number, answer in enumerate(answers):
            self.assertEqual(self.successResultOf(answer), b"%d" % number)
        self.assertEqual(turns.calls, [])


class NaiveTests(SynchronousTestCase):
    """The naive gate keeps the promises that it is compared for."""

    def setUp(self) -> None:
        self.content: Callable[[bytes], Any] = lambda content: content
        self.asked: list[bytes] = []

        class Handler(Immediate):
            def requestReceived(_, user: User, content: bytes) -> Any:
                self.asked.append(content)
                return self.content(content)

        self.gate = NaiveGate(Handler(2))
        ((self.user, self.secret), _) = loginsOf(2)

    def connect(self, index: int, secret: bytes | None = None, uid: bytes | None = None) -> Any:
        """Connect and shake hands."""
        user = self.user if uid is None else evolve(self.user, uid=uid)
        protocol = cast(NaiveProtocol, self.gate.buildProtocol(None))
        transport = Transport()
        protocol.makeConnection(transport)
        transport.protocol = protocol
        protocol.dataReceived(GateClient(user, secret or self.secret, index).hello)
        return transport

    def answersTo(self, transport: Any, content: bytes, session: bytes = SESSION) -> bytes:
        """Ask, and give what comes back at once."""
        transport.clear()
        transport.protocol.dataReceived(requestPacket(session, content))
        return cast(bytes, transport.value())

    def test_handshakes(self) -> None:
        """Handshakes are checked, in the order of H1."""
        ok = self.connect(2)
        self.assertEqual(ok.value(), packet(b"200 OK"))
        for how, status in (
            ({"index": 3, "uid": b"nobody"}, b"404 User Not Found"),
            ({"index": 1, "secret": b"another."}, b"401 Unauthorized"),
            ({"index": 2}, b"403 Index Expired"),
        ):
            transport = self.connect(**how)
            self.assertEqual(transport.value(), packet(status))
            self.assertTrue(transport.disconnecting)
        self.assertFalse(ok.disconnecting)

    def test_hellos(self) -> None:
        """There is a handshake for each login, and a gate accepts it."""
        hellos = hellosOf(Workload(2, 1, 16))
        gate = NaiveGate(Immediate(2))
        first, second = (GateClient(user, secret, 1).hello for user, secret in loginsOf(2))
        self.assertEqual(hellos, first + second)
        for hello in (first, second):
            protocol = gate.buildProtocol(None)
            assert protocol is not None
            transport = Transport()
            protocol.makeConnection(transport)
            protocol.dataReceived(hello)
            self.assertEqual(transport.value(), packet(b"200 OK"))

    def test_notAHandshake(self) -> None:
        """What is no handshake is refused."""
        transport = Transport()
        protocol = cast(NaiveProtocol, self.gate.buildProtocol(None))
        protocol.makeConnection(transport)
        protocol.dataReceived(packet(b"hello"))
        self.assertEqual(transport.value(), packet(b"400 Bad Request"))

    def test_answers(self) -> None:
        """The same session again on one connection is a new request (S5)."""
        transport = self.connect(1)
        for content in (b"one", b"two"):
            answer = responsePacket(SESSION, ANSWERED, content)
            self.assertEqual(self.answersTo(transport, content), answer)
        self.assertEqual(self.asked, [b"one", b"two"])

    def test_replays(self) -> None:
        """A session of an earlier connection is the same request; then it is this one's (S6)."""
        self.answersTo(self.connect(1), b"one")
        transport = self.connect(2)
        first = responsePacket(SESSION, ANSWERED, b"one")
        self.assertEqual(self.answersTo(transport, b"two"), first)
        again = responsePacket(SESSION, ANSWERED, b"three")
        self.assertEqual(self.answersTo(transport, b"three"), again)
        self.assertEqual(self.asked, [b"one", b"three"])

    def test_forgets(self) -> None:
        """So many responses are kept, and no more (S7)."""
        transport = self.connect(1)
        for number in range(KEPT + 1):
            self.answersTo(transport, b"one", b"%04d" % number)
        transport = self.connect(2)
        self.answersTo(transport, b"two", b"0001")
        self.assertEqual(len(self.asked), KEPT + 1)
        self.answersTo(transport, b"two", b"0000")
        self.assertEqual(len(self.asked), KEPT + 2)

    def test_oneConnection(self) -> None:
        """A new connection takes the place of the one before (H4)."""
        earlier = self.connect(1)
        self.connect(2)
        self.assertTrue(earlier.disconnected)
        self.assertEqual(self.answersTo(earlier, b"late"), b"")
        self.assertEqual(self.asked, [])

    def test_running(self) -> None:
        """A running request's answer goes to the connection that asked last (S6)."""
        answer: Deferred[bytes] = Deferred()
        self.content = lambda _: answer
        earlier = self.connect(1)
        self.assertEqual(self.answersTo(earlier, b"one"), b"")
        transport = self.connect(2)
        self.assertEqual(self.answersTo(transport, b"one"), b"")
        answer.callback(b"late")
        self.assertEqual(transport.value(), responsePacket(SESSION, ANSWERED, b"late"))
        self.assertEqual((self.asked, earlier.value()), ([b"one"], b""))

    def test_away(self) -> None:
        """What is answered while the user is away is kept (S8)."""
        answer: Deferred[bytes] = Deferred()
        self.content = lambda _: answer
        earlier = self.connect(1)
        self.answersTo(earlier, b"one")
        earlier.protocol.connectionLost()
        answer.callback(b"late")
        late = responsePacket(SESSION, ANSWERED, b"late")
        self.assertEqual(self.answersTo(self.connect(2), b"one"), late)

    def test_later(self) -> None:
        """Of two running requests of one session, the later one is answered (S5)."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        self.content = lambda content: answers[int(content)]
        transport = self.connect(1)
        for content in (b"0", b"1"):
            self.answersTo(transport, content)
        for content, answer in zip((b"first", b"second"), answers, strict=True):
            answer.callback(content)
        self.assertEqual(transport.value(), responsePacket(SESSION, ANSWERED, b"second"))

    def test_fails(self) -> None:
        """A handler that raises is answered for with flag 0 (S4)."""
        transport = self.connect(1)

        def fail(content: bytes) -> bytes:
            raise RequestFailed(b"no") if content == b"expected" else ValueError("a bug")

        self.content = fail
        failed = responsePacket(SESSION, FAILED, b"no")
        self.assertEqual(self.answersTo(transport, b"expected"), failed)
        self.assertEqual(self.answersTo(transport, b"other"), responsePacket(SESSION, FAILED, b""))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_short(self) -> None:
        """A request without a session ends the connection (S3)."""
        transport = self.connect(1)
        transport.protocol.dataReceived(packet(b"abc"))
        self.assertTrue(transport.disconnecting)


class Transport(StringTransport):
    """A connection in memory."""

    protocol: NaiveProtocol

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is held back here."""
