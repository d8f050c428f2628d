"""
Tests for L{msgserver.loginservice}: who gets in, and what a login does to the earlier one.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

from msgserver.cluster import ILoginDirectory, IOperations, LoginRecord
from msgserver.errors import Forbidden, GateUnavailable, NotAcceptable, Unauthorized, UserNotFound
from msgserver.hiding import Hidden
from msgserver.interfaces import Account, Admission, ILogins
from msgserver.testing import MemoryGate
from tests.loginserver import (
    ALICE,
    SECRET,
    LoginServerCase,
    giving,
    kicked,
    raising,
    unmoved,
)


class LoginTests(LoginServerCase):
    """One login at a time, where multiple logins are off (L, L4)."""

    def test_interfaces(self) -> None:
        """The service is what protocols, gates and operators take it for."""
        for interface in (ILogins, ILoginDirectory):
            verifyObject(interface, self.service)
        verifyObject(IOperations, self.service.operations)

    def test_order(self) -> None:
        """L4: authenticate, kick at the old gate, log in at the new, each when the one before
        has been done; then the client is told."""
        other = MemoryGate()
        self.register(other, b"other")
        self.assertEqual(self.loggedIn(b"other"), b"1")
        authenticated: Deferred[Account] = Deferred()
        ended: Deferred[None] = Deferred()
        admitted: Deferred[bytes] = Deferred()
        self.handler.authentication = giving(authenticated)
        other.answers = [ended]
        self.gate.answers = [admitted]
        login = self.login(b"the token")
        self.assertEqual(self.handler.tokens[-1], b"the token")
        self.assertEqual((other.asked[1:], self.gate.asked), ([], []))
        authenticated.callback(ALICE)
        self.assertEqual((other.asked[1:], self.gate.asked), ([("kick", b"alice", b"1")], []))
        ended.callback(None)
        self.assertEqual(self.gate.asked, [("login", b"alice", SECRET)])
        self.assertNoResult(login)
        admitted.callback(b"the subid")
        self.assertEqual(self.successResultOf(login), Admission(b"the subid", "192.0.2.9:8888"))

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
        ended: Deferred[None] = Deferred()
        self.gate.answers = [ended]
        login = self.login()
        self.assertRefused(self.login(), NotAcceptable)
        ended.callback(None)
        self.assertEqual(self.successResultOf(login).subid, b"2")

    def test_authenticatingIsNotUnderWay(self) -> None:
        """L: who has not authenticated is nobody, and keeps nobody out."""
        promised: Deferred[Account] = Deferred()
        self.handler.authentication = giving(promised)
        stranger = self.login()
        self.assertEqual(self.loggedIn(), b"1")
        promised.errback(Unauthorized("no"))
        self.assertRefused(stranger, Unauthorized)


class UnauthorizedTests(LoginServerCase):
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
            (logged,) = self.flushLoggedErrors(Hidden)
            self.assertIn(f"{type(error).__name__}, whose text is not logged", str(logged.value))
            self.assertIn("in authenticate", logged.getTraceback())

    def test_handlerFailsLater(self) -> None:
        """L: so it is for a Deferred that fails."""
        self.handler.authentication = giving(fail(KeyError("a bug")))
        self.assertUnauthorized()
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 1)

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


class ForbiddenTests(LoginServerCase):
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


class KickTests(LoginServerCase):
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
        ended: Deferred[None] = Deferred()
        self.gate.answers = [unmoved(ended)]
        login = self.login()
        self.clock.advance(5)
        self.successResultOf(login)
        ended.callback(None)
        self.successResultOf(self.service.loggedOut(self.gate, b"alice", b"1"))
        self.assertLoginGoesAhead()

    def test_gateAway(self) -> None:
        """L4: a gate that is away does not lock its users out of the others."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.assertEqual(self.successResultOf(self.login()).subid, b"2")
        self.assertLoginGoesAhead()

    def test_forgotten(self) -> None:
        """L4: whether its kick was heard or not, the earlier login is known no more."""
        for answer in (succeed(None), fail(GateUnavailable("away"))):
            self.loggedIn()
            self.gate.answers = [answer, fail(Forbidden("full"))]
            self.assertRefused(self.login(), Forbidden)
            self.assertAt()

    def test_madeGood(self) -> None:
        """L4: a kick that is not heard is made good when the gate registers anew."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.loggedIn()
        back = MemoryGate()
        old, other = LoginRecord(b"alice", b"1", 1), LoginRecord(b"bob", b"7", 1)
        self.assertEqual(self.register(back, b"other", old, other), [old])

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


class CancelTests(LoginServerCase):
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


class MultiloginTests(LoginServerCase):
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
        """A gate that registers keeps all its logins, and nobody else's are ended."""
        self.loggedIn()
        logins = [LoginRecord(b"alice", subid, 7) for subid in (b"7", b"8")]
        self.assertEqual(self.register(MemoryGate(), b"other", *logins), [])
        self.assertEqual(kicked(self.gate), [])
        self.assertAt(("sample@192.0.2.9:8888", b"1"), ("other", b"7"), ("other", b"8"))


class SupersededTests(LoginServerCase):
    """A newer login of the uid, by another login server, while one is under way (L4)."""

    newer = LoginRecord(b"alice", b"9", 10**18)

    def setUp(self) -> None:
        """Begin a login, and hear of the newer one at another gate."""
        super().setUp()
        self.other = MemoryGate()
        self.register(self.other, b"other")
        self.admitted: Deferred[bytes] = Deferred()
        self.gate.answers = [self.admitted]
        self.superseded = self.login()
        self.assertEqual(self.adopt(self.other, self.newer), [])

    def test_refused(self) -> None:
        """L4: ours is ended at its gate, then refused; the newer one stays."""
        ended: Deferred[None] = Deferred()
        self.gate.answers = [ended]
        self.admitted.callback(b"7")
        self.assertEqual(kicked(self.gate), [(b"alice", b"7")])
        self.assertNoResult(self.superseded)
        ended.callback(None)
        self.assertRefused(self.superseded, Forbidden)
        self.assertEqual(kicked(self.other), [])
        self.assertAt(("other", b"9"))

    def test_gateAway(self) -> None:
        """L4: so it is refused where its gate is not there to end it, or fails to."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.admitted.callback(b"7")
        self.assertRefused(self.superseded, Forbidden)
        self.assertAt(("other", b"9"))

    def test_late(self) -> None:
        """L4: and where its gate does not end it in time."""
        self.gate.answers = [Deferred()]
        self.admitted.callback(b"7")
        self.clock.advance(5)
        self.assertRefused(self.superseded, Forbidden)
        self.assertAt(("other", b"9"))

    def test_nextLogin(self) -> None:
        """L4: the next login is the newest again: its epoch is above all that were heard of."""
        self.admitted.callback(b"7")
        self.failureResultOf(self.superseded, Forbidden)
        self.assertEqual(self.loggedIn(), b"1")
        self.assertGreater(self.gate.epochs[-1], self.newer.epoch)
        self.assertEqual(kicked(self.other), [(b"alice", b"9")])


class EpochTests(LoginServerCase):
    """Each login's epoch is above that of every earlier one (L{LoginRecord})."""

    def assertAbove(self, least: int) -> None:
        """Log in; see an epoch of at least so much."""
        self.loggedIn()
        self.assertGreaterEqual(self.gate.epochs[-1], least)

    def test_time(self) -> None:
        """It tells the time, in microseconds, whoever's login it is."""
        for now in (1_700_000_000, 1_700_000_001.5):
            self.clock.rightNow = now
            self.loggedIn()
            self.assertEqual(self.gate.epochs[-1], now * 1_000_000)

    def test_sameMoment(self) -> None:
        """Logins of one moment have different ones, of different uids too."""
        for uid in (b"alice", b"bob", b"alice"):
            self.loggedIn(uid=uid)
        first, second, third = self.gate.epochs
        self.assertEqual([second - first, third - second], [1, 1])

    def test_clockGoesBack(self) -> None:
        """It grows though the clock has been set back; and follows it when that is right again."""
        self.clock.rightNow = 1000.0
        self.loggedIn()
        self.clock.rightNow = 10.0
        self.assertAbove(1000_000_001)
        self.clock.rightNow = 2000.0
        self.assertAbove(2000_000_000)

    def test_registrations(self) -> None:
        """A login server that has just begun goes on from what its gates come with."""
        self.register(MemoryGate(), b"other", LoginRecord(b"bob", b"7", 10**18))
        self.assertAbove(10**18 + 1)
        self.adopt(self.gate, LoginRecord(b"bob", b"8", 10**19))
        self.assertAbove(10**19 + 1)

    def test_gone(self) -> None:
        """It stays above what a login had that has ended, or that its gate refused."""
        self.adopt(self.gate, LoginRecord(b"bob", b"8", 200))
        self.successResultOf(self.service.loggedOut(self.gate, b"bob", b"8"))
        self.assertAbove(201)
        self.gate.answers = [fail(Forbidden("full"))]
        self.assertRefused(self.loginOf(b"carol"), Forbidden)
        self.assertAbove(203)
