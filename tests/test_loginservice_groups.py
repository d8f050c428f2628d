"""
Tests for L{msgserver.loginservice}: which gate of a group a login goes to.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, capturedLogs

from msgserver.cluster import LoginRecord
from msgserver.errors import Forbidden, GateUnavailable, NotAcceptable
from msgserver.interfaces import Admission
from msgserver.testing import MemoryGate
from tests.loginserver import LoginServerCase, admitted, kicked


class GroupCase(LoginServerCase):
    """Tests that need a second gate, C{west}, of the server name C{sample}."""

    westWeight = 1

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.west = MemoryGate()
        self.register(self.west, b"sample", address="west:8888", weight=self.westWeight)

    def logIn(self, *uids: bytes) -> None:
        """Log these in, one after the other."""
        for uid in uids:
            self.loggedIn(uid=uid)

    def takes(self, uid: bytes) -> MemoryGate:
        """Log a uid in, and tell the one gate that was asked to admit it."""
        for gate in (self.gate, self.west):
            gate.asked.clear()
        self.loggedIn(uid=uid)
        asked = [gate for gate in (self.gate, self.west) for _ in admitted(gate)]
        self.assertEqual(len(asked), 1)
        return asked[0]

    def isTold(self, gate: MemoryGate, isDraining: bool) -> None:
        """Have a gate say that it takes no new logins, or takes them again."""
        self.assertIsNone(self.successResultOf(self.service.draining(gate, isDraining)))


class LeastFullTests(GroupCase):
    """A login goes to the gate that is least full."""

    def test_inTurn(self) -> None:
        """Gates of one weight get equal shares; of equals, the one that came first."""
        self.logIn(b"a", b"b", b"c", b"d")
        self.assertEqual(admitted(self.gate), [b"a", b"c"])
        self.assertEqual(admitted(self.west), [b"b", b"d"])

    def test_address(self) -> None:
        """L5: the address told is that of the gate which has the login."""
        self.logIn(b"a")
        self.assertEqual(self.successResultOf(self.loginOf(b"b")), Admission(b"1", "west:8888"))

    def test_loggedOut(self) -> None:
        """Logins that have ended count no more."""
        self.logIn(b"a", b"b", b"c", b"d")
        for uid, subid in ((b"b", b"1"), (b"d", b"2")):
            self.successResultOf(self.service.loggedOut(self.west, uid, subid))
        self.logIn(b"e", b"f")
        self.assertEqual(admitted(self.west), [b"b", b"d", b"e", b"f"])

    def test_adopted(self) -> None:
        """Logins that a gate comes with count, as do those that it reports."""
        self.register(self.gate, b"sample", LoginRecord(b"x", b"7", 1), address="192.0.2.9:8888")
        self.assertIs(self.takes(b"a"), self.west)
        self.adopt(self.west, LoginRecord(b"y", b"8", 2))
        self.assertIs(self.takes(b"b"), self.gate)

    def test_refused(self) -> None:
        """Logins that were refused, or given up, do not count: the gate is asked again."""
        self.gate.answers = [fail(Forbidden("full")), fail(KeyError("a bug")), Deferred()]
        self.assertRefused(self.loginOf(b"a"), Forbidden)
        self.failureResultOf(self.loginOf(b"b"), KeyError)
        login = self.loginOf(b"c")
        login.cancel()
        self.failureResultOf(login)
        self.assertIs(self.takes(b"d"), self.gate)

    def test_atOnce(self) -> None:
        """Logins that are all under way spread as those do that come one by one."""
        answers: list[Deferred[bytes]] = [Deferred() for _ in range(6)]
        self.gate.answers, self.west.answers = list[Any](answers[0::2]), list[Any](answers[1::2])
        logins = [self.loginOf(b"%d" % number) for number in range(6)]
        self.assertEqual(admitted(self.gate), [b"0", b"2", b"4"])
        self.assertEqual(admitted(self.west), [b"1", b"3", b"5"])
        for login, answer in zip(logins, answers, strict=True):
            answer.callback(b"7")
            self.successResultOf(login)
        self.assertIs(self.takes(b"6"), self.gate)

    def test_otherNames(self) -> None:
        """Gates of other names are no part of the group, however empty."""
        other = MemoryGate()
        self.register(other, b"other", address="other:8888")
        self.logIn(b"a", b"b", b"c")
        self.assertEqual(other.asked, [])

    def test_again(self) -> None:
        """Who logs in again goes to the gate that is least full, too; the old one kicks."""
        self.logIn(b"a", b"b", b"c", b"d", b"e")
        self.successResultOf(self.service.loggedOut(self.west, b"b", b"1"))
        self.assertIs(self.takes(b"a"), self.west)
        self.assertEqual(kicked(self.gate), [(b"a", b"1")])


class WeightTests(GroupCase):
    """A gate takes as large a share of new logins as its weight says."""

    westWeight = 3

    def test_shares(self) -> None:
        """One of weight three gets three of four logins, from the first four on."""
        for _ in range(3):
            before = len(admitted(self.gate)), len(admitted(self.west))
            self.logIn(*(b"%d of %d" % (number, before[1]) for number in range(4)))
            self.assertEqual(
                (len(admitted(self.gate)), len(admitted(self.west))), (before[0] + 1, before[1] + 3)
            )


class StickyTests(GroupCase):
    """With C{sticky}, who logs in again goes back to the gate of the login before."""

    sticky = True

    def setUp(self) -> None:
        """Log alice in at the first gate, and fill it up."""
        super().setUp()
        self.logIn(b"alice")
        self.adopt(self.gate, *(LoginRecord(b"%d" % number, b"7", 9) for number in range(9)))

    def test_goesBack(self) -> None:
        """However full that is, and though its own login is kicked first."""
        self.assertIs(self.takes(b"alice"), self.gate)
        self.assertEqual(kicked(self.gate), [(b"alice", b"1")])
        self.assertIs(self.takes(b"alice"), self.gate)

    def test_others(self) -> None:
        """Who has no login goes to the gate that is least full, as ever."""
        self.assertIs(self.takes(b"bob"), self.west)
        self.successResultOf(self.service.loggedOut(self.gate, b"alice", b"1"))
        self.assertIs(self.takes(b"alice"), self.west)

    def test_draining(self) -> None:
        """A gate that takes no logins takes none of its own either."""
        self.isTold(self.gate, True)
        self.assertIs(self.takes(b"alice"), self.west)
        self.assertEqual(kicked(self.gate), [(b"alice", b"1")])

    def test_late(self) -> None:
        """A gate that was too late with the kick is not asked for the login first."""
        self.gate.answers = [Deferred()]
        login = self.loginOf(b"alice")
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(login).address, "west:8888")

    def test_otherName(self) -> None:
        """A login at a gate of another name is no reason to prefer any of these."""
        other = MemoryGate()
        self.register(other, b"other")
        self.loggedIn(b"other")
        self.assertIs(self.takes(b"alice"), self.west)


class StickyMultiloginTests(GroupCase):
    """C{sticky} where multiple logins are on."""

    sticky = True
    multilogin = True

    def test_latest(self) -> None:
        """Of several logins it is the latest one's gate."""
        self.logIn(b"alice")
        self.adopt(self.west, LoginRecord(b"alice", b"7", 9), LoginRecord(b"bob", b"8", 9))
        self.assertIs(self.takes(b"alice"), self.west)


class DrainingTests(GroupCase):
    """A gate that is draining gets no new logins."""

    def test_notAsked(self) -> None:
        """It is not asked, however empty; its own logins stay."""
        self.logIn(b"a")
        self.isTold(self.gate, True)
        self.logIn(b"b", b"c", b"d")
        self.assertEqual(self.gate.asked, [("login", b"a", b"8 secret")])
        self.assertAt(("sample@192.0.2.9:8888", b"1"), uid=b"a")

    def test_undone(self) -> None:
        """When it takes logins again it is asked again."""
        self.isTold(self.gate, True)
        self.isTold(self.gate, False)
        self.assertIs(self.takes(b"a"), self.gate)

    def test_registered(self) -> None:
        """So it is for one that says so when it registers, until it registers anew."""
        address = "192.0.2.9:8888"
        self.register(self.gate, b"sample", address=address, isDraining=True)
        self.assertIs(self.takes(b"a"), self.west)
        self.register(self.gate, b"sample", address=address)
        self.assertIs(self.takes(b"b"), self.gate)

    def test_unknown(self) -> None:
        """What a gate says that is not registered is of no account."""
        self.isTold(MemoryGate(), True)
        self.assertIs(self.takes(b"a"), self.gate)

    def test_all(self) -> None:
        """L: where none takes logins it is 403; a login that there is stays as it is."""
        self.logIn(b"a")
        for gate in (self.gate, self.west):
            self.isTold(gate, True)
            gate.asked.clear()
        for uid in (b"a", b"b"):
            self.assertRefused(self.loginOf(uid), Forbidden)
        self.assertEqual((self.gate.asked, self.west.asked), ([], []))
        self.assertAt(("sample@192.0.2.9:8888", b"1"), uid=b"a")

    def test_beginsMeanwhile(self) -> None:
        """A login that was asked for when the gate began to drain is the gate's to answer."""
        answer: Deferred[bytes] = Deferred()
        self.gate.answers = [answer]
        login = self.loginOf(b"a")
        self.isTold(self.gate, True)
        answer.callback(b"7")
        self.assertEqual(self.successResultOf(login), Admission(b"7", "192.0.2.9:8888"))


class NextGateTests(GroupCase):
    """Where a gate of a group cannot be reached, another is asked within the same login."""

    def test_unavailable(self) -> None:
        """One that is away, or takes no logins any more, is passed over, and that is logged."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        with capturedLogs() as events:
            admission = self.successResultOf(self.loginOf(b"a"))
        self.assertEqual(admission, Admission(b"1", "west:8888"))
        warnings = [event for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual([event["gate"] for event in warnings], ["sample@192.0.2.9:8888"])
        self.assertAt(("sample@west:8888", b"1"), uid=b"a")

    def test_timeout(self) -> None:
        """One that does not answer in time is let go, and the next one asked."""
        letGo: list[object] = []
        self.gate.answers = [Deferred(letGo.append)]
        login = self.loginOf(b"a")
        self.clock.advance(4.9)
        self.assertEqual((letGo, self.west.asked), ([], []))
        self.clock.advance(0.1)
        self.assertEqual(len(letGo), 1)
        self.assertEqual(self.successResultOf(login).address, "west:8888")

    def test_newEpoch(self) -> None:
        """The next one is asked as for a newer login: what the first does late is old."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.logIn(b"a")
        self.assertGreater(self.west.epochs[0], self.gate.epochs[0])

    def test_kicksOnce(self) -> None:
        """L4: the earlier login is kicked once, whoever takes the new one."""
        self.logIn(b"a")
        self.adopt(self.gate, LoginRecord(b"x", b"7", 9), LoginRecord(b"y", b"7", 9))
        self.west.answers = [fail(GateUnavailable("away"))]
        self.logIn(b"a")
        self.assertEqual((kicked(self.gate), kicked(self.west)), ([(b"a", b"1")], []))
        self.assertEqual(admitted(self.gate), [b"a", b"a"])

    def test_refused(self) -> None:
        """L: a no is the answer: nobody else is asked."""
        self.gate.answers = [fail(Forbidden("banned"))]
        self.assertRefused(self.loginOf(b"a"), Forbidden)
        self.assertEqual(self.west.asked, [])

    def test_none(self) -> None:
        """L: where none can be reached it is 403, each having been asked once."""
        for gate in (self.gate, self.west):
            gate.answers = [fail(GateUnavailable("away"))]
        self.assertRefused(self.loginOf(b"a"), Forbidden)
        self.assertEqual((admitted(self.gate), admitted(self.west)), ([b"a"], [b"a"]))
        self.assertAt(uid=b"a")

    def test_givenUp(self) -> None:
        """L1: the whole is one login: it ends when its client does, whichever is asked."""
        letGo: list[object] = []
        self.gate.answers = [Deferred()]
        self.west.answers = [Deferred(letGo.append)]
        login = self.loginOf(b"a")
        self.clock.advance(5)
        self.assertRefused(self.loginOf(b"a"), NotAcceptable)
        self.assertEqual(letGo, [])
        login.cancel()
        self.failureResultOf(login)
        self.assertEqual(len(letGo), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(admitted(self.gate), [b"a"])


class PingedTests(GroupCase):
    """A gate that has yet to answer a ping is asked last, before it was late with a login."""

    def test_last(self) -> None:
        """It is not asked while there is another, and asked where there is none."""
        self.gate.isLate = True
        for uid in (b"a", b"b", b"c"):
            self.assertIs(self.takes(uid), self.west)
        self.west.isLate = True
        self.assertIs(self.takes(b"d"), self.gate)

    def test_machine(self) -> None:
        """
        Of several that freeze together, as those of one machine do, a login waits for the
        first alone: by then the others have not answered their pings.
        """
        frozen = [self.gate, *(MemoryGate() for _ in range(3))]
        for number, gate in enumerate(frozen[1:]):
            self.register(gate, b"sample", address=f"frozen:{number}")
        self.adopt(self.west, *(LoginRecord(b"w%d" % n, b"9", 1) for n in range(5)))
        for gate in frozen:
            gate.answers = [Deferred()]
        login = self.loginOf(b"a")
        for gate in frozen:
            gate.isLate = True
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(login).address, "west:8888")


class LateTests(GroupCase):
    """A gate that was too late is asked last, for a while."""

    def setUp(self) -> None:
        """Have the first gate be late with a login that ends at the other."""
        super().setUp()
        self.gate.answers = [Deferred()]
        login = self.loginOf(b"a")
        self.clock.advance(5)
        self.successResultOf(login)

    def test_last(self) -> None:
        """For as long as it is given to answer, it is asked after the others."""
        self.clock.advance(4.9)
        for uid in (b"b", b"c", b"d"):
            self.assertIs(self.takes(uid), self.west)

    def test_forgiven(self) -> None:
        """After that, as any other."""
        self.clock.advance(5)
        self.assertIs(self.takes(b"b"), self.gate)

    def test_butAsked(self) -> None:
        """Where there is no other it is asked all the same."""
        self.west.answers = [fail(GateUnavailable("away"))]
        self.assertEqual(self.successResultOf(self.loginOf(b"b")).address, "192.0.2.9:8888")
        self.isTold(self.west, True)
        self.assertIs(self.takes(b"c"), self.gate)

    def test_registersAnew(self) -> None:
        """One that registers anew begins anew."""
        self.register(self.gate, b"sample", address="192.0.2.9:8888")
        self.assertIs(self.takes(b"b"), self.gate)
