"""
Tests for L{msgserver.loginservice}: who gets in where, and what the login side remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    InvalidState,
    NotAcceptable,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.interfaces import (
    Account,
    Admission,
    IGate,
    ILoginDirectory,
    ILoginHandler,
    ILogins,
    MaybeLater,
    Registration,
)
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate

SECRET = b"8 secret"
ALICE = Account(b"sample", b"alice")

Authentication = Callable[[bytes], Any]
"""A login handler's C{authenticate}."""


def giving(answer: object) -> Authentication:
    """Make an authentication that answers any token with C{answer}."""
    return lambda token: answer


def raising(error: Exception) -> Authentication:
    """Make an authentication that raises C{error}."""

    def authenticate(token: bytes) -> Account:
        raise error

    return authenticate


def unmoved(promised: Deferred[Any]) -> Deferred[Any]:
    """Make of a promise one that cancelling does not reach."""

    async def wait() -> object:
        try:
            await Deferred()
        except CancelledError:
            pass
        return await promised

    return Deferred.fromCoroutine(wait())


@implementer(ILoginHandler)
class Handler:
    """
    A login handler that writes down the tokens, and says yes to alice unless told otherwise.

    @ivar authentication: what turns a token into an account.
    """

    def __init__(self) -> None:
        self.tokens: list[bytes] = []
        self.authentication: Authentication = giving(ALICE)

    def authenticate(self, token: bytes) -> MaybeLater[Account]:
        """See L{ILoginHandler.authenticate}."""
        self.tokens.append(token)
        answer: MaybeLater[Account] = self.authentication(token)
        return answer


class LoginServiceTestCase(SynchronousTestCase):
    """A login server with one gate, C{sample}, that may take five seconds."""

    multilogin = False

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.handler = Handler()
        self.gate = MemoryGate()
        self.service = LoginService(self.handler, self.clock, self.multilogin, gateTimeout=5)
        self.register(self.gate, b"sample", address="192.0.2.9:8888")

    def tearDown(self) -> None:
        """No test leaves a timer, or a uid under way (L1)."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.service._underWay, set())

    def register(
        self, gate: IGate, name: bytes, *logins: tuple[bytes, bytes], address: str | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Register a gate; tell which of its logins have been superseded."""
        registration = Registration(name, address, logins)
        return self.successResultOf(self.service.register(gate, registration))

    def login(self, token: bytes = b"token") -> Deferred[Admission]:
        """Begin a login."""
        return self.service.login(token, SECRET, "192.0.2.1")

    def loggedIn(self, server: bytes = b"sample", uid: bytes = b"alice") -> bytes:
        """Log in, successfully and at once, and tell the subid."""
        self.handler.authentication = giving(Account(server, uid))
        return self.successResultOf(self.login()).subid

    def assertRefused(self, login: Deferred[Admission], refusal: type[Refused]) -> None:
        """See a login refused, and for no other reason."""
        self.failureResultOf(login, refusal)


class LoginTests(LoginServiceTestCase):
    """One login at a time, where multiple logins are off (L, L4)."""

    def test_interfaces(self) -> None:
        """The service is what protocols and gates take it for."""
        verifyObject(ILogins, self.service)
        verifyObject(ILoginDirectory, self.service)

    def test_order(self) -> None:
        """L4: authenticate, kick at the old gate, log in at the new, each when the one before
        has been done; then the client is told."""
        other = MemoryGate()
        self.register(other, b"other")
        self.assertEqual(self.loggedIn(b"other"), b"1")
        authenticated: Deferred[Account] = Deferred()
        kicked: Deferred[None] = Deferred()
        admitted: Deferred[bytes] = Deferred()
        self.handler.authentication = giving(authenticated)
        other.answers = [kicked]
        self.gate.answers = [admitted]
        login = self.login(b"the token")
        self.assertEqual(self.handler.tokens[-1], b"the token")
        self.assertEqual((other.asked[1:], self.gate.asked), ([], []))
        authenticated.callback(ALICE)
        self.assertEqual((other.asked[1:], self.gate.asked), ([("kick", b"alice", b"1")], []))
        kicked.callback(None)
        self.assertEqual(self.gate.asked, [("login", b"alice", SECRET)])
        self.assertNoResult(login)
        admitted.callback(b"the subid")
        self.assertEqual(
            self.successResultOf(login), Admission(b"the subid", "192.0.2.9:8888")
        )

    def test_kickAtSameGate(self) -> None:
        """L4: a login again at the same gate kicks the old one by its subid, then logs in."""
        self.loggedIn()
        self.assertEqual(self.loggedIn(), b"2")
        self.loggedIn()
        login = ("login", b"alice", SECRET)
        self.assertEqual(
            self.gate.asked,
            [login, ("kick", b"alice", b"1"), login, ("kick", b"alice", b"2"), login],
        )

    def test_noAddress(self) -> None:
        """L5: a gate without an address has none told."""
        self.register(MemoryGate(), b"plain")
        self.handler.authentication = giving(Account(b"plain", b"alice"))
        self.assertEqual(self.successResultOf(self.login()), Admission(b"1", None))

    def test_coroutine(self) -> None:
        """A handler's C{authenticate} may be a coroutine."""

        async def authenticate(token: bytes) -> Account:
            return await succeed(ALICE)

        self.handler.authentication = authenticate
        self.assertEqual(self.successResultOf(self.login()).subid, b"1")

    def test_underWay(self) -> None:
        """L: a login while another of the uid is under way is 406, and disturbs nothing."""
        admitted: Deferred[bytes] = Deferred()
        self.gate.answers = [admitted]
        first = self.login()
        self.assertRefused(self.login(), NotAcceptable)
        self.assertEqual(self.loggedIn(uid=b"bob"), b"1")
        admitted.callback(b"2")
        self.assertEqual(self.successResultOf(first).subid, b"2")
        self.assertEqual(len(self.gate.asked), 2)
        self.assertEqual(self.loggedIn(), b"2")

    def test_underWayWhileKicking(self) -> None:
        """L: waiting for the kick is under way, too."""
        self.loggedIn()
        kicked: Deferred[None] = Deferred()
        self.gate.answers = [kicked]
        login = self.login()
        self.assertRefused(self.login(), NotAcceptable)
        kicked.callback(None)
        self.assertEqual(self.successResultOf(login).subid, b"2")

    def test_authenticatingIsNotUnderWay(self) -> None:
        """L: who has not authenticated is nobody, and keeps nobody out."""
        promised: Deferred[Account] = Deferred()
        self.handler.authentication = giving(promised)
        stranger = self.login()
        self.assertEqual(self.loggedIn(), b"1")
        promised.errback(Unauthorized("no"))
        self.assertRefused(stranger, Unauthorized)


class UnauthorizedTests(LoginServiceTestCase):
    """Whatever goes wrong up to and including authentication is 401 (L)."""

    def assertUnauthorized(self) -> None:
        """See a login refused, and no gate asked."""
        self.assertRefused(self.login(), Unauthorized)
        self.assertEqual(self.gate.asked, [])

    def test_handlerSaysNo(self) -> None:
        """L: the handler's no, at once or later, is 401 and no bug."""
        for no in (raising(Unauthorized("no")), giving(fail(Unauthorized("no")))):
            self.handler.authentication = no
            self.assertUnauthorized()

    def test_handlerRaises(self) -> None:
        """L: a handler that raises anything else is 401, and logged once with its traceback."""
        for error in (ValueError("a bug"), Forbidden("not its to say"), IndexError()):
            self.handler.authentication = raising(error)
            self.assertUnauthorized()
            logged = self.flushLoggedErrors()
            self.assertEqual([failure.value for failure in logged], [error])

    def test_handlerFailsLater(self) -> None:
        """L: so it is for a Deferred that fails."""
        self.handler.authentication = giving(fail(KeyError("a bug")))
        self.assertUnauthorized()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_handlerCancelled(self) -> None:
        """L: so it is for a handler whose own waiting was cancelled; that is no bug."""
        self.handler.authentication = raising(CancelledError())
        self.assertUnauthorized()

    def test_nonsense(self) -> None:
        """L, L6: what is no account of bytes is 401, and logged by its type alone."""
        for nonsense in (
            None,
            b"alice",
            (b"sample", b"alice"),
            Account("sample", b"alice"),  # type: ignore[arg-type]  # a handler's mistake
            Account(b"sample", "alice"),  # type: ignore[arg-type]  # a handler's mistake
            Account(b"sample", bytearray(b"alice")),  # type: ignore[arg-type]  # and this
            Account([], b"alice"),  # type: ignore[arg-type]  # and this
        ):
            self.handler.authentication = giving(nonsense)
            with capturedLogs() as events:
                self.assertUnauthorized()
            self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
            self.assertEqual(events[0]["type"], type(nonsense))


class ForbiddenTests(LoginServiceTestCase):
    """Authenticated, but no login is 403 (L)."""

    def test_unknownServer(self) -> None:
        """L, L4: a server that nobody is leaves the existing login alone."""
        self.loggedIn()
        self.handler.authentication = giving(Account(b"nowhere", b"alice"))
        self.assertRefused(self.login(), Forbidden)
        self.assertEqual(self.gate.asked, [("login", b"alice", SECRET)])

    def test_gateSaysNo(self) -> None:
        """L: a gate's no, of whatever kind, is 403."""
        for refusal in (Forbidden("full"), UserNotFound("odd"), GateUnavailable("away")):
            self.gate.answers = [fail(refusal)]
            self.assertRefused(self.login(), Forbidden)
        self.assertEqual(self.loggedIn(), b"1")

    def test_gateTooLate(self) -> None:
        """L, L1: a gate that does not answer in time is 403 then; the uid is free again."""
        self.gate.answers = [Deferred()]
        login = self.login()
        self.clock.advance(4.9)
        self.assertNoResult(login)
        self.assertRefused(self.login(), NotAcceptable)
        self.clock.advance(0.1)
        self.assertRefused(login, Forbidden)
        self.assertEqual(self.loggedIn(), b"1")

    def test_lateAnswer(self) -> None:
        """L1: what a gate answers after its time changes nothing."""
        admitted: Deferred[bytes] = Deferred()
        self.gate.answers = [unmoved(admitted)]
        login = self.login()
        self.clock.advance(5)
        self.assertRefused(login, Forbidden)
        admitted.callback(b"late")
        self.assertEqual(self.loggedIn(), b"1")
        self.assertEqual([name for name, _, _ in self.gate.asked], ["login", "login"])

    def test_lateFailure(self) -> None:
        """L1: nor does it if it is a failure."""
        admitted: Deferred[bytes] = Deferred()
        self.gate.answers = [unmoved(admitted)]
        login = self.login()
        self.clock.advance(5)
        self.assertRefused(login, Forbidden)
        admitted.errback(KeyError("late"))
        self.assertEqual(self.loggedIn(), b"1")

    def test_gateFails(self) -> None:
        """L: a gate that fails in an unexpected way is no login, and the uid is free again."""
        self.gate.answers = [fail(KeyError("a bug"))]
        self.failureResultOf(self.login(), KeyError)  # The protocol makes a 403 of it.
        self.assertEqual(self.loggedIn(), b"1")


class KickTests(LoginServiceTestCase):
    """Kicking what a login supersedes (L4)."""

    def setUp(self) -> None:
        """Log alice in."""
        super().setUp()
        self.loggedIn()

    def assertLoginGoesAhead(self) -> None:
        """See alice logged in anew, and the old login not kicked a second time."""
        self.assertEqual(self.loggedIn(), b"3")
        self.assertEqual(self.gate.asked[-2], ("kick", b"alice", b"2"))

    def test_late(self) -> None:
        """L4: a kick is awaited for so long, and no longer."""
        self.gate.answers = [Deferred()]
        login = self.login()
        self.clock.advance(4.9)
        self.assertEqual(len(self.gate.asked), 2)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(login).subid, b"2")
        self.assertLoginGoesAhead()

    def test_lateThenDone(self) -> None:
        """U4: a kick that is done after its time takes nothing of the new login."""
        kicked: Deferred[None] = Deferred()
        self.gate.answers = [unmoved(kicked)]
        login = self.login()
        self.clock.advance(5)
        self.successResultOf(login)
        kicked.callback(None)
        self.successResultOf(self.service.loggedOut(self.gate, b"alice", b"1"))
        self.assertLoginGoesAhead()

    def test_gateAway(self) -> None:
        """L4: a gate that is away does not lock its users out of the others."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.assertEqual(self.successResultOf(self.login()).subid, b"2")
        self.assertLoginGoesAhead()

    def test_fails(self) -> None:
        """L4: nor does one that fails in an unexpected way, which is logged."""
        for error in (KeyError("a bug"), Forbidden("no kick here")):
            self.gate.answers = [fail(error)]
            self.successResultOf(self.login())
            logged = self.flushLoggedErrors()
            self.assertEqual([failure.value for failure in logged], [error])

    def test_raises(self) -> None:
        """L4: nor one that raises where it should answer with a Deferred."""

        def kick(uid: bytes, subid: bytes) -> Deferred[None]:
            raise KeyError("a bug")

        self.patch(self.gate, "kick", kick)
        self.assertEqual(self.successResultOf(self.login()).subid, b"2")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class CancelTests(LoginServiceTestCase):
    """A login whose client has gone leaves nothing behind, and is nobody's bug (L1)."""

    def assertNothingLeft(self, login: Deferred[Admission]) -> None:
        """Cancel a login; see that nothing is logged as a bug, and the next one works."""
        login.cancel()
        self.failureResultOf(login)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.loggedIn()

    def test_authenticating(self) -> None:
        """L1: the handler's Deferred is cancelled."""
        cancelled: list[object] = []
        self.handler.authentication = giving(Deferred(cancelled.append))
        self.assertNothingLeft(self.login())
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(len(self.gate.asked), 1)

    def test_stubbornHandler(self) -> None:
        """L1: a handler that makes an account of its cancellation logs nobody in."""

        async def authenticate(token: bytes) -> Account:
            try:
                await Deferred()
            except CancelledError:
                pass
            return ALICE

        self.handler.authentication = authenticate
        login = self.login()
        login.cancel()
        self.failureResultOf(login)
        self.assertEqual(self.gate.asked, [])
        self.assertNothingLeft(self.login())

    def test_unmovedHandler(self) -> None:
        """L1: a handler that goes on when cancelled is left to itself."""
        promised: Deferred[Account] = Deferred()
        self.handler.authentication = giving(unmoved(promised))
        self.assertNothingLeft(self.login())
        promised.callback(ALICE)
        self.assertEqual(len(self.gate.asked), 1)

    def test_kicking(self) -> None:
        """L1: while the earlier login is being kicked; no new one is begun."""
        self.loggedIn()
        self.gate.answers = [Deferred()]
        login = self.login()
        login.cancel()
        self.failureResultOf(login)
        self.assertEqual(self.gate.asked[1:], [("kick", b"alice", b"1")])
        self.gate.answers = [Deferred()]
        self.assertNothingLeft(self.login())

    def test_admitting(self) -> None:
        """L1: while the gate is being asked; its Deferred is cancelled."""
        cancelled: list[object] = []
        self.gate.answers = [Deferred(cancelled.append)]
        self.assertNothingLeft(self.login())
        self.assertEqual(len(cancelled), 1)


class MultiloginTests(LoginServiceTestCase):
    """Where multiple logins are on (L)."""

    multilogin = True

    def test_noKick(self) -> None:
        """A uid may have several logins, and none is kicked."""
        self.assertEqual([self.loggedIn(), self.loggedIn()], [b"1", b"2"])
        self.assertEqual(self.gate.asked, [("login", b"alice", SECRET)] * 2)

    def test_atOnce(self) -> None:
        """Several may be under way; each gets the answer that is its own."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        self.gate.answers = list(answers)
        first, second = self.login(), self.login()
        answers[1].callback(b"of the second")
        self.assertNoResult(first)
        self.assertEqual(self.successResultOf(second).subid, b"of the second")
        answers[0].callback(b"of the first")
        self.assertEqual(self.successResultOf(first).subid, b"of the first")

    def test_register(self) -> None:
        """A gate that registers keeps all its logins."""
        self.loggedIn()
        logins = ((b"alice", b"7"), (b"alice", b"8"))
        self.assertEqual(self.register(MemoryGate(), b"other", *logins), [])


class DirectoryTests(LoginServiceTestCase):
    """What gates report (U4), and what becomes of it: whom a login kicks (L4)."""

    def setUp(self) -> None:
        """Make a second gate, C{other}."""
        super().setUp()
        self.other = MemoryGate()
        self.register(self.other, b"other")

    def assertAt(self, *places: tuple[MemoryGate, bytes]) -> None:
        """See by whom a login kicks, where alice is."""
        gates = (self.gate, self.other)
        for gate in gates:
            gate.asked.clear()
        self.loggedIn()
        self.assertCountEqual(
            [(gate, subid) for gate in gates for kind, _, subid in gate.asked if kind == "kick"],
            places,
        )

    def loggedOut(self, gate: MemoryGate, uid: bytes, subid: bytes) -> None:
        """Report that a login has ended."""
        self.assertIsNone(self.successResultOf(self.service.loggedOut(gate, uid, subid)))

    def test_loggedOut(self) -> None:
        """U2: who is reported to be gone is not kicked."""
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"1")
        self.assertAt()

    def test_lateLoggedOut(self) -> None:
        """U4: a late report names the old login, and the new one stays where it is."""
        self.loggedIn()
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"1")
        self.assertAt((self.gate, b"2"))

    def test_loggedOutElsewhere(self) -> None:
        """U4: so it is if both gates chose the same subid."""
        self.loggedIn(b"other")
        self.assertEqual(self.loggedIn(b"sample"), b"1")
        self.loggedOut(self.other, b"alice", b"1")
        self.assertAt((self.gate, b"1"))

    def test_loggedOutUnknown(self) -> None:
        """U4: a report of what is not known, or of another uid, does nothing."""
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"7")
        self.loggedOut(self.gate, b"bob", b"1")
        self.loggedOut(MemoryGate(), b"alice", b"1")
        self.assertAt((self.gate, b"1"))

    def test_secondOfAName(self) -> None:
        """A second gate of a name is refused, and the first goes on."""
        second = MemoryGate()
        registered = self.service.register(second, Registration(b"sample", None, ((b"bob", b"7"),)))
        self.failureResultOf(registered, InvalidState)
        self.assertEqual(self.loggedIn(uid=b"bob"), b"1")
        self.assertEqual((second.asked, len(self.gate.asked)), ([], 1))

    def test_registerLogins(self) -> None:
        """The logins that a gate comes with are known from then on."""
        self.assertEqual(self.register(self.other, b"third", (b"alice", b"7")), [])
        self.assertAt((self.other, b"7"))

    def test_registerAgain(self) -> None:
        """A gate that registers anew may have another address, and keeps its logins."""
        subid = self.loggedIn()
        self.assertEqual(self.register(self.gate, b"sample", (b"alice", subid), address="b:2"), [])
        self.assertAt((self.gate, subid))
        self.assertEqual(self.successResultOf(self.login()).address, "b:2")

    def test_registerAgainWithout(self) -> None:
        """Logins that a gate does not have when it registers anew supersede nobody's."""
        self.loggedIn()
        self.register(self.gate, b"sample")
        self.assertEqual(self.register(self.other, b"other", (b"alice", b"7")), [])
        self.assertAt((self.other, b"7"))

    def test_superseded(self) -> None:
        """Logins of a gate that comes back are superseded by what was admitted meanwhile."""
        self.loggedIn()
        back = MemoryGate()
        logins = ((b"alice", b"7"), (b"bob", b"8"))
        self.assertEqual(self.register(back, b"back", *logins), [(b"alice", b"7")])
        self.assertAt((self.gate, b"1"))
        self.loggedIn(uid=b"bob")
        self.assertEqual(back.asked, [("kick", b"bob", b"8")])

    def test_supersededByItsOwn(self) -> None:
        """Of two logins of one uid that a gate comes with, one stays."""
        superseded = self.register(self.other, b"other", (b"alice", b"7"), (b"alice", b"8"))
        self.assertEqual(superseded, [(b"alice", b"8")])

    def test_unregister(self) -> None:
        """A gate that unregisters is forgotten with its logins, and no other gate is."""
        self.loggedIn(b"other", b"alice")
        self.loggedIn(b"sample", b"bob")
        self.assertIsNone(self.successResultOf(self.service.unregister(self.other)))
        self.assertAt()
        self.loggedIn(b"sample", b"bob")
        self.assertIn(("kick", b"bob", b"1"), self.gate.asked)
        self.handler.authentication = giving(Account(b"other", b"alice"))
        self.assertRefused(self.login(), Forbidden)

    def test_unregisterFreesTheName(self) -> None:
        """A name is free again when its gate has unregistered; unknown gates have none."""
        successor = MemoryGate()
        self.successResultOf(self.service.unregister(successor))
        self.successResultOf(self.service.unregister(self.gate))
        self.register(successor, b"sample")
        self.loggedIn()
        self.assertEqual(successor.asked, [("login", b"alice", SECRET)])

    def test_nothingKept(self) -> None:
        """A uid that is nowhere takes no memory."""
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"1")
        self.loggedIn(uid=b"bob")
        self.successResultOf(self.service.unregister(self.gate))
        self.assertEqual(self.service._places, {})
