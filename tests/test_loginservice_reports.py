"""
Tests for L{msgserver.loginservice}: what gates report, and what becomes of it.
"""

from __future__ import annotations

from gc import collect

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, capturedLogs

from msgserver.cluster import LoginRecord
from msgserver.errors import Forbidden, GateUnavailable
from msgserver.testing import MemoryGate
from tests.loginserver import SECRET, LoginServerCase, kicked

ADDRESS = "192.0.2.9:8888"
SAMPLE = f"sample@{ADDRESS}"


class ReportCase(LoginServerCase):
    """Tests that need a second gate, C{other}."""

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.other = MemoryGate()
        self.register(self.other, b"other")

    def loggedOut(self, gate: MemoryGate, uid: bytes, subid: bytes) -> None:
        """Report that a login has ended."""
        self.assertIsNone(self.successResultOf(self.service.loggedOut(gate, uid, subid)))

    def unregister(self, gate: MemoryGate) -> None:
        """Report that a gate is no more."""
        self.assertIsNone(self.successResultOf(self.service.unregister(gate)))


class LoggedOutTests(ReportCase):
    """A login that has ended (U2, U4)."""

    def test_loggedOut(self) -> None:
        """U2: who is reported to be gone is not kicked."""
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"1")
        self.assertAt()
        self.loggedIn()
        self.assertEqual(kicked(self.gate), [])

    def test_late(self) -> None:
        """U4: a late report names the old login, and the new one stays where it is."""
        self.loggedIn()
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"1")
        self.assertAt((SAMPLE, b"2"))

    def test_elsewhere(self) -> None:
        """U4: so it is if both gates chose the same subid."""
        self.loggedIn(b"other")
        self.assertEqual(self.loggedIn(b"sample"), b"1")
        self.loggedOut(self.other, b"alice", b"1")
        self.assertAt((SAMPLE, b"1"))

    def test_unknown(self) -> None:
        """U4: a report of what is not known, or of another uid, does nothing."""
        self.loggedIn()
        self.loggedOut(self.gate, b"alice", b"7")
        self.loggedOut(self.gate, b"bob", b"1")
        self.loggedOut(MemoryGate(), b"alice", b"1")
        self.assertAt((SAMPLE, b"1"))


class RegisterTests(ReportCase):
    """A gate that registers, with the logins that it has."""

    def test_logins(self) -> None:
        """The logins that a gate comes with are known from then on, and kicked there (L4)."""
        self.assertEqual(self.register(self.other, b"third", LoginRecord(b"alice", b"7", 1)), [])
        self.assertAt(("third", b"7"))
        self.loggedIn()
        self.assertEqual(kicked(self.other), [(b"alice", b"7")])

    def test_again(self) -> None:
        """A gate that registers anew may have another address, and keeps its logins."""
        subid = self.loggedIn()
        login = LoginRecord(b"alice", subid, self.gate.epochs[0])
        self.assertEqual(self.register(self.gate, b"sample", login, address="b:2"), [])
        self.assertAt(("sample@b:2", subid))
        self.assertEqual(self.successResultOf(self.login()).address, "b:2")
        self.assertFalse(self.gate.isReplaced)

    def test_againWithout(self) -> None:
        """Logins that a gate does not have when it registers anew supersede nobody's."""
        self.loggedIn()
        self.register(self.gate, b"sample", address=ADDRESS)
        self.assertEqual(self.register(self.other, b"other", LoginRecord(b"alice", b"7", 0)), [])
        self.assertAt(("other", b"7"))

    def test_superseded(self) -> None:
        """Logins of a gate that comes back are superseded by what was admitted meanwhile."""
        self.clock.advance(1000)
        self.loggedIn()
        alice, bob = LoginRecord(b"alice", b"7", 10), LoginRecord(b"bob", b"8", 11)
        back = MemoryGate()
        self.assertEqual(self.register(back, b"back", alice, bob), [alice])
        self.assertEqual((kicked(self.gate), back.asked), ([], []))
        self.assertAt((SAMPLE, b"1"))
        self.assertAt(("back", b"8"), uid=b"bob")

    def test_joins(self) -> None:
        """A second gate of the name, at another address, joins the first, which stays."""
        self.loggedIn()
        west = MemoryGate()
        self.register(west, b"sample", LoginRecord(b"bob", b"7", 1), address="west:8888")
        self.assertFalse(self.gate.isReplaced)
        self.assertAt((SAMPLE, b"1"))
        self.assertAt(("sample@west:8888", b"7"), uid=b"bob")

    def test_replaces(self) -> None:
        """One with the same address replaces the first, which is told; its logins are gone."""
        self.loggedIn()
        successor = MemoryGate()
        self.register(successor, b"sample", address=ADDRESS)
        self.assertEqual((self.gate.isReplaced, successor.isReplaced), (True, False))
        self.assertAt()
        self.loggedIn()
        self.assertEqual(successor.asked, [("login", b"alice", SECRET)])

    def test_replacesWithoutAddress(self) -> None:
        """Two that have no address are at the same: clients could not tell them apart."""
        successor = MemoryGate()
        self.register(successor, b"other")
        self.assertEqual((self.other.isReplaced, self.gate.isReplaced), (True, False))

    def test_replacedReports(self) -> None:
        """What the replaced gate still says is of no account; its leave takes nothing along."""
        successor = MemoryGate()
        self.register(successor, b"sample", LoginRecord(b"alice", b"1", 5), address=ADDRESS)
        self.assertEqual(self.adopt(self.gate, LoginRecord(b"bob", b"7", 9)), [])
        self.successResultOf(self.service.draining(self.gate, True))
        self.loggedOut(self.gate, b"alice", b"1")
        self.unregister(self.gate)
        self.assertEqual([report.uid for report in self.service.operations.users()], [b"alice"])
        self.loggedIn()
        self.assertEqual(successor.asked, [("kick", b"alice", b"1"), ("login", b"alice", SECRET)])

    def test_secondName(self) -> None:
        """A gate has one name: where it registers by another, it has left the first."""
        self.register(self.gate, b"new", address=ADDRESS)
        self.assertRefused(self.loginOf(b"alice"), Forbidden)
        self.assertEqual(self.loggedIn(b"new"), b"1")

    def test_noAddress(self) -> None:
        """L5: a gate that clients cannot be told of, beside others of its name, is warned of."""
        with capturedLogs() as events:
            self.register(MemoryGate(), b"alone")
            self.register(MemoryGate(), b"alone", address="east:1")
        warnings = [each for each in events if each["log_level"] is LogLevel.warn]
        self.assertEqual([each["gate"] for each in warnings], ["alone@east:1"])

    def test_unregister(self) -> None:
        """A gate that unregisters is forgotten with its logins, and no other gate is."""
        self.loggedIn(b"other", b"alice")
        self.loggedIn(b"sample", b"bob")
        self.unregister(self.other)
        self.assertAt()
        self.assertAt((SAMPLE, b"1"), uid=b"bob")
        self.assertRefused(self.loginOf(b"alice", b"other"), Forbidden)
        self.loggedIn()
        self.assertEqual(kicked(self.other), [])

    def test_unregisterFreesTheName(self) -> None:
        """Name and address are free again then: nobody is replaced. Unknown gates have none."""
        successor = MemoryGate()
        self.unregister(successor)
        self.unregister(self.gate)
        self.register(successor, b"sample", address=ADDRESS)
        self.assertFalse(self.gate.isReplaced)
        self.loggedIn()
        self.assertEqual(successor.asked, [("login", b"alice", SECRET)])

    def test_leavesWhileAsked(self) -> None:
        """L: a gate that leaves while it is asked fails, and its user can log in elsewhere."""
        answer: Deferred[bytes] = Deferred()
        self.gate.answers = [answer]
        login = self.login()
        self.unregister(self.gate)
        answer.errback(GateUnavailable("the link is lost"))
        self.assertRefused(login, Forbidden)
        self.assertEqual(self.loggedIn(b"other"), b"1")


class AdoptTests(ReportCase):
    """Logins that other login servers have made: the newest one stays."""

    newer = LoginRecord(b"alice", b"7", 10**18)

    def setUp(self) -> None:
        """Log alice in."""
        super().setUp()
        self.loggedIn()

    def test_newer(self) -> None:
        """The older one is kicked at its gate by its subid, and known no more at once (U4)."""
        ended: Deferred[None] = Deferred()
        self.gate.answers = [ended]
        self.assertEqual(self.adopt(self.other, self.newer), [])
        self.assertEqual(kicked(self.gate), [(b"alice", b"1")])
        self.assertAt(("other", b"7"))
        ended.callback(None)
        self.assertAt(("other", b"7"))
        self.assertEqual(self.other.asked, [])

    def test_older(self) -> None:
        """What is older than the one known is told to be superseded, and nobody is kicked."""
        older = LoginRecord(b"alice", b"7", 0)
        self.assertEqual(self.adopt(self.other, older), [older])
        self.assertEqual((kicked(self.gate), kicked(self.other)), ([], []))
        self.assertAt((SAMPLE, b"1"))

    def test_register(self) -> None:
        """So it is with what a gate comes with."""
        self.assertEqual(self.register(self.other, b"other", self.newer), [])
        self.assertEqual(kicked(self.gate), [(b"alice", b"1")])
        self.assertAt(("other", b"7"))

    def test_ownOlder(self) -> None:
        """A gate that has two of a uid is told to kick the older, or that it is superseded."""
        older = LoginRecord(b"bob", b"8", 5)
        newer = LoginRecord(b"bob", b"9", 6)
        self.assertEqual(self.adopt(self.other, newer, older), [older])
        self.assertEqual(kicked(self.other), [])
        self.loggedOut(self.other, b"bob", b"9")
        self.assertEqual(self.adopt(self.other, older, newer), [])
        self.assertEqual(kicked(self.other), [(b"bob", b"8")])
        self.assertAt(("other", b"9"), uid=b"bob")

    def test_kickFails(self) -> None:
        """A kick that fails harms nobody: it is logged, as what it is, and not left unhandled."""
        with capturedLogs() as events:
            self.gate.answers = [fail(GateUnavailable("away"))]
            self.adopt(self.other, self.newer)
            collect()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        self.gate.answers = [fail(KeyError("a bug"))]
        self.adopt(self.gate, LoginRecord(b"bob", b"8", 1))
        self.adopt(self.other, LoginRecord(b"bob", b"9", 2))
        collect()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertAt(("other", b"9"), uid=b"bob")

    def test_kickNotAnswered(self) -> None:
        """A kick that is not answered is let go after its time, and holds nobody up."""
        letGo: list[object] = []
        self.gate.answers = [Deferred(letGo.append)]
        self.adopt(self.other, self.newer)
        self.loggedIn(b"other")
        self.assertEqual(letGo, [])
        self.clock.advance(5)
        self.assertEqual(len(letGo), 1)

    def test_unknownGate(self) -> None:
        """What a gate tells that is not registered is of no account."""
        self.assertEqual(self.adopt(MemoryGate(), self.newer), [])
        self.assertAt((SAMPLE, b"1"))
        self.assertEqual(kicked(self.gate), [])
