"""
Tests for L{msgserver.loginprotocol}: what a login client sees, from connect to close (L).

The conversation is the one that was recorded from the original, over a transport in memory;
behind it a double, or the login service itself where the two must work together.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from gc import collect
from os import urandom
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.cluster import Registration
from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    InvalidState,
    NotAcceptable,
    Unauthorized,
)
from msgserver.hiding import Hidden
from msgserver.interfaces import (
    Account,
    Admission,
    ILoginHandler,
    ILogins,
    MaybeLater,
)
from msgserver.loginprotocol import LoginFactory, LoginLimits, LoginProtocol
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate, MemoryTransport
from msgserver.wire.classic import ClassicSuite, encrypt
from msgserver.wire.login import LoginClient
from msgserver.wire.modern import ModernSuite

CHALLENGE = bytes.fromhex("3ed8648261027442")
SERVER_PRIVATE = bytes.fromhex("5e96acc95cb8480c")
SECRET = bytes.fromhex("b9388be0af1ec90a")
TOKEN = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="

CHALLENGE_LINE = b"PthkgmECdEI=\n"
KEY_LINE = b"286bRmPbq5I=\n"
SERVER_KEY_LINE = b"utuPRuM1FMU=\n"
PROOF_LINE = b"7kuvix3Kmiw=\n"
TOKEN_LINE = b"RUADUZvMzw8SPfJvNszpfjKKbwyAyQwG+64aJlF6USA=\n"
CLIENT_LINES = KEY_LINE + PROOF_LINE + TOKEN_LINE

UNAUTHORIZED = b"401 Unauthorized\n"
FORBIDDEN = b"403 Forbidden\n"
NOT_ACCEPTABLE = b"406 Not Acceptable\n"


@implementer(ILogins)
class MemoryLogins:
    """
    A login side that writes down the logins asked for, and gives C{answer} to each.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, str]] = []
        self.answer: Deferred[Admission] = Deferred()

    def login(self, token: bytes, secret: bytes, peer: str) -> Deferred[Admission]:
        """See L{ILogins.login}."""
        self.asked.append((token, secret, peer))
        return self.answer


@implementer(ILoginHandler)
class Handler:
    """A login handler that asks C{authentication}, which a test may replace."""

    def __init__(self) -> None:
        self.authentication: Callable[[bytes], Any] = lambda token: Account(b"sample", b"alice")

    def authenticate(self, token: bytes) -> MaybeLater[Account]:
        """See L{ILoginHandler.authenticate}."""
        answer: MaybeLater[Account] = self.authentication(token)
        return answer


class LoginTestCase(SynchronousTestCase):
    """A login port for two connections of ten seconds each."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.factory = self.makeFactory(self.makeLogins())

    def makeLogins(self) -> ILogins:
        """Make what is behind the port."""
        self.logins = MemoryLogins()
        return self.logins

    def makeFactory(self, logins: ILogins) -> LoginFactory:
        """Make the port."""
        limits = LoginLimits(maxclient=2, timeout=10)
        return LoginFactory(logins, self.clock, [ClassicSuite()], limits, self.randomBytes)

    def randomBytes(self, size: int) -> bytes:
        """Give each conversation the recorded challenge, and then the recorded key."""
        return next(self.random)

    def connect(self, lines: bytes = b"") -> tuple[LoginProtocol, MemoryTransport]:
        """Connect a client that sends these lines at once; the challenge is out of the way."""
        self.random: Iterator[bytes] = iter((CHALLENGE, SERVER_PRIVATE))
        protocol, transport = self.factory.buildProtocol(None), MemoryTransport("192.0.2.7")
        transport.connect(protocol)
        self.assertEqual(transport.take(), CHALLENGE_LINE)
        if lines:
            protocol.dataReceived(lines)
        return protocol, transport

    def assertClosed(self, transport: MemoryTransport, status: bytes) -> None:
        """See the status said, and the connection closed once that is delivered (L)."""
        self.assertEqual(transport.take(), status)
        # A refused client may be sending still, so only our side is closed: a reset would
        # cost it the status.
        isRefusal = b"\n40" in b"\n" + status
        closes = (transport.writeClosed, transport.disconnecting)
        self.assertEqual(closes, (isRefusal, not isRefusal))
        self.assertFalse(transport.disconnected)

    def assertNothingLeft(self) -> None:
        """See neither a timer nor a connection counted."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.factory.limits), 0)


class ConversationTests(LoginTestCase):
    """The conversation on its transport (L)."""

    def test_recorded(self) -> None:
        """L: the recorded login: every line when it is due, then the close."""
        protocol, transport = self.connect()
        protocol.dataReceived(KEY_LINE)
        self.assertEqual(transport.take(), SERVER_KEY_LINE)
        protocol.dataReceived(PROOF_LINE)
        protocol.dataReceived(TOKEN_LINE)
        self.assertEqual((transport.take(), transport.disconnecting), (b"", False))
        self.assertEqual(self.logins.asked, [(TOKEN, SECRET, "192.0.2.7")])
        self.logins.answer.callback(Admission(b"1"))
        self.assertClosed(transport, b"200 MQ==\n")
        transport.lose()
        self.assertNothingLeft()

    def test_atOnce(self) -> None:
        """L: all lines in one segment, and an answer at once, make the same conversation."""
        self.logins.answer = succeed(Admission(b"1"))
        _, transport = self.connect(CLIENT_LINES)
        self.assertClosed(transport, SERVER_KEY_LINE + b"200 MQ==\n")

    def test_byteByByte(self) -> None:
        """L: so do single bytes."""
        self.logins.answer = succeed(Admission(b"1"))
        protocol, transport = self.connect()
        for position in range(len(CLIENT_LINES)):
            protocol.dataReceived(CLIENT_LINES[position : position + 1])
        self.assertClosed(transport, SERVER_KEY_LINE + b"200 MQ==\n")

    def test_address(self) -> None:
        """L5: where the gate has an address, a second line says it."""
        self.logins.answer = succeed(Admission(b"1", "192.0.2.9:8888"))
        _, transport = self.connect(CLIENT_LINES)
        self.assertClosed(
            transport, SERVER_KEY_LINE + b"200 MQ==\n" + b"210 MTkyLjAuMi45Ojg4ODg=\n"
        )

    def test_wrongLines(self) -> None:
        """L: a line that is wrong is 401 at once, and nobody is asked."""
        for lines, said in (
            (b"not base64\n", b""),
            (b"\n", b""),
            (b64encode(bytes(7)) + b"\n", b""),
            (b64encode(bytes(8)) + b"\n", b""),
            (b64encode(b"\1" + bytes(7)) + b"\n", b""),
            (KEY_LINE + b"not base64\n", SERVER_KEY_LINE),
            (KEY_LINE + b64encode(bytes(8)) + b"\n", SERVER_KEY_LINE),
            (KEY_LINE + PROOF_LINE + b"not base64\n", SERVER_KEY_LINE),
            (KEY_LINE + PROOF_LINE + b64encode(bytes(8)) + b"\n", SERVER_KEY_LINE),
            (KEY_LINE + PROOF_LINE + b64encode(b"7 bytes") + b"\n", SERVER_KEY_LINE),
        ):
            self.factory = self.makeFactory(self.logins)
            protocol, transport = self.connect(lines)
            self.assertClosed(transport, said + UNAUTHORIZED)
            protocol.dataReceived(CLIENT_LINES)
            self.assertEqual((transport.take(), self.logins.asked), (b"", []))

    def test_refusals(self) -> None:
        """L: what the login side refuses is said in its words."""
        for refusal, status in (
            (Unauthorized("no"), UNAUTHORIZED),
            (Forbidden("no"), FORBIDDEN),
            (NotAcceptable("no"), NOT_ACCEPTABLE),
        ):
            self.logins.answer = fail(refusal)
            _, transport = self.connect(CLIENT_LINES)
            self.assertClosed(transport, SERVER_KEY_LINE + status)
            transport.lose()

    def test_bug(self) -> None:
        """L: a login that fails in an unexpected way is 403, and logged with its traceback."""
        self.logins.answer = fail(KeyError("a bug"))
        _, transport = self.connect(CLIENT_LINES)
        self.assertClosed(transport, SERVER_KEY_LINE + FORBIDDEN)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_cancelledElsewhere(self) -> None:
        """L: a login that others cancelled leaves no client without an answer."""
        self.logins.answer = fail(CancelledError())
        _, transport = self.connect(CLIENT_LINES)
        self.assertClosed(transport, SERVER_KEY_LINE + FORBIDDEN)

    def test_behindTheToken(self) -> None:
        """L: what comes behind the last line is not looked at, before the verdict and after."""
        protocol, transport = self.connect(CLIENT_LINES + CLIENT_LINES)
        protocol.dataReceived(b"x" * 100_000)
        self.assertEqual(len(self.logins.asked), 1)
        self.logins.answer.callback(Admission(b"1"))
        protocol.dataReceived(CLIENT_LINES)
        self.assertClosed(transport, SERVER_KEY_LINE + b"200 MQ==\n")
        self.assertEqual(len(self.logins.asked), 1)

    def test_noAddressOfPeer(self) -> None:
        """L: on a transport without addresses the client is unknown to the log, and welcome."""
        self.random = iter((CHALLENGE, SERVER_PRIVATE))
        protocol, transport = self.factory.buildProtocol(None), MemoryTransport()
        self.patch(transport, "getPeer", lambda: object())
        transport.connect(protocol)
        protocol.dataReceived(CLIENT_LINES)
        self.assertEqual(self.logins.asked, [(TOKEN, SECRET, "unknown")])


class BoundsTests(LoginTestCase):
    """What a stranger may hold (B1, L1)."""

    def test_lineTooLong(self) -> None:
        """L1: a line of more than 8 KiB closes the connection, without a status."""
        for begun, said in ((b"", b""), (KEY_LINE, SERVER_KEY_LINE)):
            self.factory = self.makeFactory(self.logins)
            protocol, transport = self.connect(begun + b"A" * 8192)
            self.assertFalse(transport.disconnecting)
            protocol.dataReceived(b"A")
            self.assertClosed(transport, said)

    def test_longestLine(self) -> None:
        """L1: a line of 8 KiB is read, and answered."""
        _, transport = self.connect(b"A" * 8192 + b"\n")
        self.assertClosed(transport, UNAUTHORIZED)

    def test_silence(self) -> None:
        """L1: a client that says nothing is closed after ten seconds, without a status."""
        _, transport = self.connect()
        self.clock.advance(9.9)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(transport.take(), b"")
        transport.lose()
        self.assertNothingLeft()

    def test_slowly(self) -> None:
        """L1: a byte a second buys nobody time: the deadline is the conversation's."""
        protocol, transport = self.connect()
        for second in range(10):
            self.assertFalse(transport.disconnected)
            protocol.dataReceived(KEY_LINE[second : second + 1])
            self.clock.advance(1)
        self.assertTrue(transport.disconnected)

    def test_gatesPartCountsIn(self) -> None:
        """L1: the deadline runs on while the login side is at work; then it cancels that."""
        cancelled: list[object] = []
        self.logins.answer = Deferred(cancelled.append)
        protocol, transport = self.connect()
        self.clock.advance(6)
        protocol.dataReceived(CLIENT_LINES)
        self.clock.advance(3.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)
        transport.lose()
        self.assertEqual(len(cancelled), 1)
        self.assertNothingLeft()

    def test_statusNotTaken(self) -> None:
        """L1: a client that does not take its status is aborted in the end."""
        self.logins.answer = succeed(Admission(b"1"))
        _, transport = self.connect(CLIENT_LINES)
        self.clock.advance(9.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)

    def test_maxclient(self) -> None:
        """B1: two connections, and the third is closed at once, counted, and told nothing."""
        self.connect()
        _, second = self.connect()
        self.random = iter((CHALLENGE, SERVER_PRIVATE))
        protocol, transport = self.factory.buildProtocol(None), MemoryTransport()
        transport.connect(protocol)
        self.assertTrue(transport.disconnected)
        self.assertEqual((transport.take(), self.factory.limits.hits["maxclient"]), (b"", 1))
        transport.lose()
        self.assertEqual(len(self.factory.limits), 2)
        second.lose()
        self.connect()
        self.assertEqual(self.factory.limits.hits["maxclient"], 1)

    def test_idleStrangers(self) -> None:
        """B1, L1: idle strangers hold their places for ten seconds, not for ever."""
        _, first = self.connect()
        _, second = self.connect()
        self.clock.advance(10)
        for transport in (first, second):
            self.assertTrue(transport.disconnected)
            transport.lose()
        self.assertNothingLeft()
        self.connect()

    def test_lostBeforeTheToken(self) -> None:
        """L1: a connection that is lost at any line leaves nothing."""
        lines = CHALLENGE_LINE + KEY_LINE + PROOF_LINE
        for end in range(0, len(lines), 5):
            self.factory = self.makeFactory(self.logins)
            _, transport = self.connect(lines[len(CHALLENGE_LINE) : end])
            transport.lose()
            self.assertNothingLeft()

    def test_lostWhileLoggingIn(self) -> None:
        """L1: nor does one that is lost while the login side is at work, or a line in the log."""
        self.logins.answer = Deferred()
        _, transport = self.connect(CLIENT_LINES)
        transport.take()
        transport.lose()
        collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(transport.take(), b"")
        self.assertNothingLeft()

    def test_lostAfterTheStatus(self) -> None:
        """L1: nor does one that is lost when all is said; the login stays."""
        cancelled: list[object] = []
        self.logins.answer = Deferred(cancelled.append)
        _, transport = self.connect(CLIENT_LINES)
        self.logins.answer.callback(Admission(b"1"))
        transport.lose()
        self.assertEqual(cancelled, [])
        self.assertNothingLeft()


class WholeTestCase(LoginTestCase):
    """The port with the login service behind it, and a gate that may take C{gateTimeout}."""

    gateTimeout = 5.0

    def makeLogins(self) -> ILogins:
        """Make the service, its handler and its gate."""
        self.handler, self.gate = Handler(), MemoryGate()
        service = LoginService(self.handler, self.clock, gateTimeout=self.gateTimeout)
        service.register(self.gate, lambda: Registration(b"sample"))
        return service

    def assertLoggedIn(self) -> None:
        """See alice log in, within a turn."""
        self.handler.authentication = lambda token: Account(b"sample", b"alice")
        _, transport = self.connect(CLIENT_LINES)
        line = transport.take().removeprefix(SERVER_KEY_LINE)
        self.assertEqual(line[:4], b"200 ", line)
        transport.lose()
        self.assertNothingLeft()


class StatusTests(WholeTestCase):
    """The statuses, from the very handler and gate that cause them (L)."""

    def assertStatus(self, status: bytes) -> None:
        """See what a client is told at once, and that the next login works."""
        _, transport = self.connect(CLIENT_LINES)
        self.assertClosed(transport, SERVER_KEY_LINE + status)
        transport.lose()
        self.assertNothingLeft()
        self.assertLoggedIn()

    def test_admitted(self) -> None:
        """L: 200 and the gate's subid."""
        self.assertStatus(b"200 MQ==\n")
        self.assertEqual(self.gate.asked[0], ("login", b"alice", SECRET))

    def test_handlerSaysNo(self) -> None:
        """L: the handler's no is 401."""
        self.handler.authentication = lambda token: fail(Unauthorized("no"))
        self.assertStatus(UNAUTHORIZED)

    def test_handlerRaises(self) -> None:
        """L: the handler's bug is 401."""
        self.handler.authentication = lambda token: {b"alice": 1}[token]
        self.assertStatus(UNAUTHORIZED)
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 1)

    def test_nonsense(self) -> None:
        """L: what is no account is 401."""
        self.handler.authentication = lambda token: "alice"
        self.assertStatus(UNAUTHORIZED)

    def test_unknownServer(self) -> None:
        """L: a server that nobody is is 403."""
        self.handler.authentication = lambda token: Account(b"nowhere", b"alice")
        self.assertStatus(FORBIDDEN)

    def test_gateSaysNo(self) -> None:
        """L: the gate's no is 403."""
        for no in (Forbidden("full"), GateUnavailable("away")):
            self.factory = self.makeFactory(self.makeLogins())
            self.gate.answers = [fail(no)]
            self.assertStatus(FORBIDDEN)

    def test_gateFails(self) -> None:
        """L: the gate's bug is 403, and logged."""
        self.gate.answers = [fail(KeyError("a bug"))]
        self.assertStatus(FORBIDDEN)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_gateRaises(self) -> None:
        """L: so it is where the gate raises instead of answering with a Deferred."""

        def login(uid: bytes, secret: bytes, epoch: int) -> Deferred[bytes]:
            raise KeyError("a bug")

        patched = self.patch(self.gate, "login", login)
        _, transport = self.connect(CLIENT_LINES)
        patched.restore()
        self.assertClosed(transport, SERVER_KEY_LINE + FORBIDDEN)
        transport.lose()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertLoggedIn()

    def test_gateTooLate(self) -> None:
        """L: a gate that does not answer in time is 403, as soon as that is known."""
        self.gate.answers = [Deferred()]
        _, transport = self.connect(CLIENT_LINES)
        self.assertEqual(transport.take(), SERVER_KEY_LINE)
        self.clock.advance(5)
        self.assertClosed(transport, FORBIDDEN)
        transport.lose()
        self.assertLoggedIn()

    def test_underWay(self) -> None:
        """L: a login while another of the uid is under way is 406; that other goes on."""
        admitted: Deferred[bytes] = Deferred()
        self.gate.answers = [admitted]
        _, first = self.connect(CLIENT_LINES)
        _, second = self.connect(CLIENT_LINES)
        self.assertClosed(second, SERVER_KEY_LINE + NOT_ACCEPTABLE)
        admitted.callback(b"1")
        self.assertClosed(first, SERVER_KEY_LINE + b"200 MQ==\n")


class HangingTests(WholeTestCase):
    """What hangs, or goes away half-way, locks nobody out (L1)."""

    gateTimeout = 60.0

    def assertNextWorks(self, transport: MemoryTransport) -> None:
        """Lose the connection; see that nothing is left of it, and the next login works."""
        transport.lose()
        self.assertNothingLeft()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertLoggedIn()

    def assertDeadlineHelps(self) -> None:
        """See a login hang until the conversation's deadline, and the next one work."""
        _, transport = self.connect(CLIENT_LINES)
        self.clock.advance(9.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(transport.take(), SERVER_KEY_LINE)
        self.assertNextWorks(transport)

    def test_handlerHangs(self) -> None:
        """L1: a handler that hangs."""
        self.handler.authentication = lambda token: Deferred()
        self.assertDeadlineHelps()

    def test_stubbornHandlerHangs(self) -> None:
        """L1: a handler that hangs on when it is cancelled."""

        async def authenticate(token: bytes) -> Account:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    pass

        self.handler.authentication = authenticate
        self.assertDeadlineHelps()

    def test_gateHangs(self) -> None:
        """L1: a gate that hangs at a login."""
        self.gate.answers = [Deferred()]
        self.assertDeadlineHelps()

    def test_kickHangs(self) -> None:
        """L1: a gate that hangs at a kick."""
        self.assertLoggedIn()
        self.gate.answers = [Deferred()]
        self.assertDeadlineHelps()

    def test_lostWhileAuthenticating(self) -> None:
        """L1: a client that goes while the handler is at work; the gate is not asked."""
        self.handler.authentication = lambda token: Deferred()
        _, transport = self.connect(CLIENT_LINES)
        transport.lose()
        self.assertEqual(self.gate.asked, [])
        self.assertLoggedIn()

    def test_lostWhileKicking(self) -> None:
        """L1: a client that goes while its earlier login is being kicked."""
        self.assertLoggedIn()
        self.gate.answers = [Deferred()]
        _, transport = self.connect(CLIENT_LINES)
        self.assertNextWorks(transport)

    def test_lostWhileAdmitting(self) -> None:
        """L1: a client that goes while the gate is at work."""
        self.gate.answers = [Deferred()]
        _, transport = self.connect(CLIENT_LINES)
        self.assertNextWorks(transport)

    def test_accountFromCancellation(self) -> None:
        """L1: a handler that says yes when cancelled logs nobody in."""

        async def authenticate(token: bytes) -> Account:
            try:
                await Deferred()
            except CancelledError:
                pass
            return Account(b"sample", b"alice")

        self.handler.authentication = authenticate
        _, transport = self.connect(CLIENT_LINES)
        transport.lose()
        self.assertEqual((self.gate.asked, transport.take()), ([], SERVER_KEY_LINE))
        self.assertNothingLeft()


class SilenceTests(WholeTestCase):
    """Passwords, tokens and secrets never reach a log or a repr (L6)."""

    HIDDEN = (
        TOKEN.decode(),
        "cGFzc3dvcmQ",  # The password, as it is in the token.
        repr(SECRET)[2:-1],
        SECRET.hex(),
        b64encode(SECRET).decode(),
        TOKEN_LINE.decode().strip(),
        PROOF_LINE.decode().strip(),
    )

    def assertHidden(self, text: str) -> None:
        """See nothing in a text that must not be there."""
        for hidden in self.HIDDEN:
            self.assertNotIn(hidden, text)

    def assertSilent(self, authentication: Callable[[bytes], Any], level: LogLevel) -> None:
        """Log in, or fail to; see it logged, up to this level, and nothing of it said."""
        self.handler.authentication = authentication
        with capturedLogs() as events:
            protocol, transport = self.connect(CLIENT_LINES)
            self.clock.advance(5)
            self.assertHidden(f"{protocol!r} {vars(protocol)!r}")
            transport.lose()
        self.assertIn(level, [event["log_level"] for event in events])
        for event in events:
            self.assertHidden(self.everything(event))

    def everything(self, event: LogEvent) -> str:
        """Write a log event as the most talkative observer would."""
        text = eventAsText(event, includeTraceback=True, includeSystem=True)
        values = " ".join(f"{key}={value!r} {value}" for key, value in event.items())
        return f"{text} {values}"

    def test_control(self) -> None:
        """The text that is searched has the things that are not secret, tracebacks included."""
        with capturedLogs() as events:
            self.handler.authentication = lambda token: {"alice": 1}["no such key"]
            self.connect(CLIENT_LINES)
        text = " ".join(map(self.everything, events))
        for shown in ("192.0.2.7", "no such key", "Traceback", "test_loginprotocol"):
            self.assertIn(shown, text)
        self.assertRaises(self.failureException, self.assertHidden, f"token={TOKEN!r}")
        self.assertRaises(self.failureException, self.assertHidden, f"secret={SECRET!r}")
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 1)

    def test_admitted(self) -> None:
        """L6: a login that succeeds."""
        self.assertSilent(lambda token: Account(b"sample", b"alice"), LogLevel.info)

    def test_refused(self) -> None:
        """L6: a login that the handler refuses."""
        self.assertSilent(lambda token: fail(Unauthorized("no")), LogLevel.info)

    def test_handlerRaises(self) -> None:
        """L6: a login that the handler fails at, the token among its arguments."""

        def authenticate(token: bytes) -> Account:
            raise ValueError("cannot read it")

        self.assertSilent(authenticate, LogLevel.critical)
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 1)

    def test_handlerRaisesToken(self) -> None:
        """L6: a login that the handler fails at with the token for a text, as a table does."""
        users: dict[bytes, Account] = {}
        self.assertSilent(lambda token: users[token], LogLevel.critical)
        self.assertSilent(lambda token: fail(KeyError(token)), LogLevel.critical)
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 2)

    def test_nonsense(self) -> None:
        """L6: a login whose handler gives the token back for an account."""
        self.assertSilent(lambda token: token, LogLevel.error)

    def test_unknownServer(self) -> None:
        """L6: a login at a server that nobody is."""
        self.assertSilent(lambda token: Account(b"nowhere", b"alice"), LogLevel.info)

    def test_gate(self) -> None:
        """L6: a login that the gate refuses, fails at, or leaves unanswered."""
        for answer in (fail(Forbidden("full")), fail(KeyError("a bug")), Deferred()):
            self.gate.answers = [answer]
            self.assertSilent(lambda token: Account(b"sample", b"alice"), LogLevel.info)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_kick(self) -> None:
        """L6: a login whose predecessor cannot be kicked."""
        self.assertLoggedIn()
        self.gate.answers = [Deferred()]
        self.assertSilent(lambda token: Account(b"sample", b"alice"), LogLevel.warn)

    def test_wrongLines(self) -> None:
        """L6: lines that are wrong, the token's with a padding that is none."""
        broken = encrypt(SECRET, TOKEN)[:-8]
        for lines in (
            TOKEN_LINE,
            KEY_LINE + TOKEN_LINE,
            KEY_LINE + PROOF_LINE + b64encode(broken) + b"\n",
            KEY_LINE + PROOF_LINE + TOKEN_LINE[:-3] + b"\n",
        ):
            self.factory = self.makeFactory(self.makeLogins())
            with capturedLogs() as events:
                _, transport = self.connect(lines)
            self.assertEqual(transport.take()[-17:], UNAUTHORIZED)
            self.assertTrue(events)
            for event in events:
                self.assertHidden(self.everything(event))


class ModernTests(SynchronousTestCase):
    """The modern suite (L3), from connect to close."""

    def converse(self, admission: Admission) -> tuple[LoginClient, MemoryTransport]:
        """Log in where the login side gives this, as far as the client goes."""
        logins = MemoryLogins()
        logins.answer = succeed(admission)
        factory = LoginFactory(logins, Clock(), [ModernSuite()], LoginLimits())
        protocol, transport = factory.buildProtocol(None), MemoryTransport("192.0.2.7")
        client = LoginClient(ModernSuite(), TOKEN, urandom)
        transport.connect(protocol)
        for _ in range(2):
            client.feed(transport.take())
            self.assertIsNone(client.nextEvent())
            protocol.dataReceived(client.dataToSend())
        client.feed(transport.take())
        return client, transport

    def test_admitted(self) -> None:
        """L3, L5: the client is in, and knows where."""
        client, transport = self.converse(Admission(b"1", "a.example:1"))
        event = client.nextEvent()
        assert event is not None
        self.assertEqual((event.subid, event.address), (b"1", "a.example:1"))
        self.assertTrue(transport.disconnecting)

    def test_emptySubid(self) -> None:
        """L3: what the suite cannot vouch for is 403, and logged: it is the handler's bug."""
        client, transport = self.converse(Admission(b""))
        self.assertRaises(Forbidden, client.nextEvent)
        self.assertTrue(transport.writeClosed)
        self.assertEqual(len(self.flushLoggedErrors(InvalidState)), 1)
